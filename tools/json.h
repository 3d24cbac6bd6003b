/* SPDX-License-Identifier: MIT */
#ifndef SKSM_TOOLS_JSON_H
#define SKSM_TOOLS_JSON_H

struct json_object;

/* A string, or null where there is no @text. */
struct json_object *sksm_json_text(const char *text);

/* Print @object to stdout for people and machines, and put it. 0 or -ENOMEM. */
int sksm_json_print(struct json_object *object);

#endif
