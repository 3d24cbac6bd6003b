/* SPDX-License-Identifier: MIT */
#include "cfi_program.h"

#include <errno.h>

#define REMEMBER_MAX 4

/* What the program of a frame has said so far of the registers that we follow. */
struct state {
	struct sksm_cfi_rule rule;
	bool has_no_caller;	/* the return address is undefined */
	bool is_odd;		/* something that cannot be written down as a rule */
};

struct machine {
	const struct sksm_cfi_common *common;
	struct state state;
	struct state initial;
	struct state saved[REMEMBER_MAX];
	unsigned int depth;
	uint64_t location;
	uint64_t pc;
};

static void set_cfa(struct state *state, uint64_t reg, int64_t offset)
{
	state->rule.cfa = reg == SKSM_CFI_REG_SP ? SKSM_CFA_SP :
			  reg == SKSM_CFI_REG_BP ? SKSM_CFA_BP : SKSM_CFA_NONE;
	state->rule.cfa_offset = (int32_t)offset;
	if (offset != (int32_t)offset)
		state->rule.cfa = SKSM_CFA_NONE;
}

static void set_offset(struct state *state, uint64_t reg, int64_t offset)
{
	if (reg == SKSM_CFI_REG_RA) {
		state->is_odd = offset != -8;
	} else if (reg == SKSM_CFI_REG_BP) {
		state->rule.bp = offset == (int32_t)offset ? SKSM_BP_AT_CFA : SKSM_BP_LOST;
		state->rule.bp_offset = (int32_t)offset;
	}
}

static void set_other(struct state *state, uint64_t reg, enum sksm_bp_kind bp, bool undefined)
{
	if (reg == SKSM_CFI_REG_BP)
		state->rule.bp = bp;
	else if (reg == SKSM_CFI_REG_RA && undefined)
		state->has_no_caller = true;
	else if (reg == SKSM_CFI_REG_RA)
		state->is_odd = true;
}

static void restore(struct machine *m, uint64_t reg)
{
	if (reg == SKSM_CFI_REG_BP) {
		m->state.rule.bp = m->initial.rule.bp;
		m->state.rule.bp_offset = m->initial.rule.bp_offset;
	} else if (reg == SKSM_CFI_REG_RA) {
		m->state.is_odd = m->initial.is_odd;
		m->state.has_no_caller = m->initial.has_no_caller;
	}
}

/*
 * Of expressions, those that realigning functions have: a register and an offset, and (for the
 * CFA) what lies there.
 */
static void read_expression(struct sksm_cfi_reader *r, bool is_cfa, uint64_t reg,
			    struct state *state)
{
	uint64_t length = sksm_cfi_read_uleb(r);
	struct sksm_cfi_reader e = { r->p, r->p, false };
	int64_t offset;
	bool simple;

	sksm_cfi_skip_bytes(r, length);
	if (r->bad)
		return;
	e.end = r->p;
	simple = sksm_cfi_read_bytes(&e, 1) == 0x70 + SKSM_CFI_REG_BP;	/* DW_OP_breg6 */
	offset = sksm_cfi_read_sleb(&e);
	simple = simple && offset == (int32_t)offset;
	if (is_cfa) {
		simple = simple && sksm_cfi_read_bytes(&e, 1) == 0x06;	/* DW_OP_deref */
		state->rule.cfa = simple && e.p == e.end && !e.bad ? SKSM_CFA_AT_BP :
				  SKSM_CFA_NONE;
		state->rule.cfa_offset = (int32_t)offset;
	} else {
		simple = simple && e.p == e.end && !e.bad;
		set_other(state, reg, simple ? SKSM_BP_AT_BP : SKSM_BP_LOST, false);
		if (reg == SKSM_CFI_REG_BP)
			state->rule.bp_offset = (int32_t)offset;
	}
}

/* An offset in units of the tables. Nonsense may overflow. */
static int64_t scale(const struct machine *m, uint64_t factored)
{
	return (int64_t)(factored * (uint64_t)m->common->data_align);
}

/* Instructions that change where the CFA is. False: it is none of them. */
static bool run_cfa(struct machine *m, struct sksm_cfi_reader *r, uint8_t op)
{
	struct state *state = &m->state;
	uint64_t reg = 0;

	switch (op) {
	case 0x0c:	/* def_cfa */
		reg = sksm_cfi_read_uleb(r);
		set_cfa(state, reg, (int64_t)sksm_cfi_read_uleb(r));
		return true;
	case 0x12:	/* def_cfa_sf */
		reg = sksm_cfi_read_uleb(r);
		set_cfa(state, reg, scale(m, (uint64_t)sksm_cfi_read_sleb(r)));
		return true;
	case 0x0d:	/* def_cfa_register */
		set_cfa(state, sksm_cfi_read_uleb(r), state->rule.cfa_offset);
		return true;
	case 0x0e:	/* def_cfa_offset */
		state->rule.cfa_offset = (int32_t)sksm_cfi_read_uleb(r);
		return true;
	case 0x13:	/* def_cfa_offset_sf */
		state->rule.cfa_offset = (int32_t)scale(m, (uint64_t)sksm_cfi_read_sleb(r));
		return true;
	case 0x0f:	/* def_cfa_expression */
		read_expression(r, true, 0, state);
		return true;
	default:
		return false;
	}
}

/* Instructions that say where a register is. False: it is none of them. */
static bool run_register(struct machine *m, struct sksm_cfi_reader *r, uint8_t op)
{
	struct state *state = &m->state;
	uint64_t reg = op & 0x3f;

	if ((op & 0xc0) == 0x80) {	/* offset */
		set_offset(state, reg, scale(m, sksm_cfi_read_uleb(r)));
		return true;
	}
	if ((op & 0xc0) == 0xc0) {	/* restore */
		restore(m, reg);
		return true;
	}
	switch (op) {
	case 0x05:	/* offset_extended */
		reg = sksm_cfi_read_uleb(r);
		set_offset(state, reg, scale(m, sksm_cfi_read_uleb(r)));
		return true;
	case 0x11:	/* offset_extended_sf */
		reg = sksm_cfi_read_uleb(r);
		set_offset(state, reg, scale(m, (uint64_t)sksm_cfi_read_sleb(r)));
		return true;
	case 0x06:	/* restore_extended */
		restore(m, sksm_cfi_read_uleb(r));
		return true;
	case 0x07:	/* undefined */
		set_other(state, sksm_cfi_read_uleb(r), SKSM_BP_LOST, true);
		return true;
	case 0x08:	/* same_value */
		set_other(state, sksm_cfi_read_uleb(r), SKSM_BP_SAME, false);
		return true;
	case 0x09:	/* register */
	case 0x14:	/* val_offset */
		set_other(state, sksm_cfi_read_uleb(r), SKSM_BP_LOST, false);
		sksm_cfi_read_uleb(r);
		return true;
	case 0x10:	/* expression */
		reg = sksm_cfi_read_uleb(r);
		read_expression(r, false, reg, state);
		return true;
	case 0x16:	/* val_expression */
		set_other(state, sksm_cfi_read_uleb(r), SKSM_BP_LOST, false);
		sksm_cfi_skip_bytes(r, sksm_cfi_read_uleb(r));
		return true;
	default:
		return false;
	}
}

/* Instructions that change neither a rule nor the location. False: unknown, or too much. */
static bool run_other(struct machine *m, struct sksm_cfi_reader *r, uint8_t op)
{
	switch (op) {
	case 0x00:	/* nop */
		return true;
	case 0x0a:	/* remember_state */
		if (m->depth == REMEMBER_MAX)
			return false;
		m->saved[m->depth++] = m->state;
		return true;
	case 0x0b:	/* restore_state */
		if (!m->depth)
			return false;
		m->state = m->saved[--m->depth];
		return true;
	case 0x2e:	/* GNU_args_size */
		sksm_cfi_read_uleb(r);
		return true;
	default:
		return false;
	}
}

/* How far an instruction moves the location. False: it does not. */
static bool read_advance(const struct machine *m, struct sksm_cfi_reader *r, uint8_t op,
			 uint64_t *ret_delta)
{
	if ((op & 0xc0) == 0x40)	/* advance_loc */
		*ret_delta = (op & 0x3f) * m->common->code_align;
	else if (op >= 0x02 && op <= 0x04)	/* advance_loc1, 2, 4 */
		*ret_delta = sksm_cfi_read_bytes(r, 1u << (op - 2)) * m->common->code_align;
	else if (op == 0x01)	/* set_loc */
		*ret_delta = sksm_cfi_read_encoded(r, m->common->encoding) - m->location;
	else
		return false;
	return true;
}

static int run_program(struct machine *m, struct sksm_cfi_reader r)
{
	while (r.p < r.end && !r.bad) {
		uint8_t op = (uint8_t)sksm_cfi_read_bytes(&r, 1);
		uint64_t delta;

		if (read_advance(m, &r, op, &delta)) {
			/* The row before is the one for the address that is asked for. */
			if (delta > m->pc - m->location)
				break;
			m->location += delta;
		} else if (!run_cfa(m, &r, op) && !run_register(m, &r, op) &&
			   !run_other(m, &r, op)) {
			return -EINVAL;
		}
	}
	return r.bad ? -EINVAL : 0;
}

int sksm_cfi_run(const struct sksm_cfi_common *common, struct sksm_cfi_reader program,
		 uint64_t location, uint64_t pc, struct sksm_cfi_rule *ret)
{
	struct machine m = { .common = common, .location = location, .pc = pc };
	int error;

	m.initial.rule.bp = SKSM_BP_SAME;
	m.state = m.initial;
	error = run_program(&m, common->program);
	m.initial = m.state;
	m.depth = 0;
	if (!error)
		error = run_program(&m, program);
	if (error)
		return error;
	if (common->is_signal)
		m.state.rule.cfa = SKSM_CFA_SIGNAL;
	else if (m.state.has_no_caller || m.state.is_odd)
		m.state.rule.cfa = SKSM_CFA_NONE;
	*ret = m.state.rule;
	return 0;
}
