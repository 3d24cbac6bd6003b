# SPDX-License-Identifier: MIT
"""A writer of Java class files, enough for a small program: a JRE has no compiler.

The version is 49, that of Java 5: verified without stack maps by every Java since.
"""
import struct

VERSION = 49
PUBLIC_STATIC = 9

# Operands: "" none, "b" a byte, "r" a branch; what else there is refers to the constant pool.
OPERATIONS = {
    "aconst_null": (1, ""), "iconst_m1": (2, ""), "iconst_0": (3, ""), "iconst_1": (4, ""),
    "bipush": (16, "b"), "ldc": (19, "ldc"), "ldc2": (20, "ldc2"),
    "iload": (21, "b"), "lload": (22, "b"), "aload": (25, "b"), "aaload": (50, ""),
    "laload": (47, ""), "istore": (54, "b"), "lstore": (55, "b"), "astore": (58, "b"),
    "lastore": (80, ""), "aastore": (83, ""), "pop": (87, ""), "dup": (89, ""),
    "iadd": (96, ""), "ladd": (97, ""), "lsub": (101, ""), "imul": (104, ""),
    "idiv": (108, ""), "irem": (112, ""), "iinc": (132, "bb"), "i2l": (133, ""),
    "lcmp": (148, ""), "ifne": (154, "r"), "iflt": (155, "r"), "ifge": (156, "r"),
    "if_icmplt": (161, "r"), "if_icmpge": (162, "r"), "goto": (167, "r"), "ireturn": (172, ""),
    "areturn": (176, ""), "return": (177, ""), "getstatic": (178, "field"),
    "invokevirtual": (182, "method"), "invokespecial": (183, "method"),
    "invokestatic": (184, "method"), "new": (187, "class"), "newarray": (188, "b"),
    "anewarray": (189, "class"), "arraylength": (190, ""),
}


class ClassFile:
    def __init__(self, name):
        self.name = name
        self.constants = []     # as bytes; a long takes two places
        self.methods = []

    def _constant(self, data, places=1):
        if data not in self.constants:
            self.constants += [data] + [None] * (places - 1)
        return self.constants.index(data) + 1

    def utf8(self, text):
        data = text.encode()
        return self._constant(b"\x01" + struct.pack(">H", len(data)) + data)

    def class_(self, name):
        return self._constant(b"\x07" + struct.pack(">H", self.utf8(name)))

    def member(self, tag, words):
        """ "class name descriptor" """
        owner, name, descriptor = words.split()
        named = struct.pack(">HH", self.utf8(name), self.utf8(descriptor))
        return self._constant(struct.pack(">BHH", tag, self.class_(owner),
                                          self._constant(b"\x0c" + named)))

    def operand(self, kind, value):
        if kind == "class":
            return self.class_(value)
        if kind in ("field", "method"):
            return self.member(9 if kind == "field" else 10, value)
        if kind == "ldc2":
            return self._constant(struct.pack(">Bq", 5, int(value)), 2)
        if value.lstrip("-").isdigit():
            return self._constant(struct.pack(">Bi", 3, int(value)))
        return self._constant(b"\x08" + struct.pack(">H", self.utf8(value)))

    def assemble(self, text):
        """An operation a line; a line "label:" can be branched to."""
        code = bytearray()
        labels = {}
        branches = []
        for line in filter(None, (line.split("#")[0].strip() for line in text.splitlines())):
            if line.endswith(":"):
                labels[line[:-1]] = len(code)
                continue
            name, _, operands = line.partition(" ")
            number, kind = OPERATIONS[name]
            code.append(number)
            if kind == "r":
                branches.append((len(code), operands))
                code += b"\0\0"
            elif kind.strip("b"):
                code += struct.pack(">H", self.operand(kind, operands))
            else:
                code += bytes(int(value) & 255 for value in operands.split())
        for place, label in branches:
            struct.pack_into(">h", code, place, labels[label] - place + 1)
        return bytes(code)

    def method(self, name, descriptor, text, stack=10, local=20):
        code = self.assemble(text)
        body = struct.pack(">HHI", stack, local, len(code)) + code + bytes(4)
        self.methods.append(struct.pack(">HHHHHI", PUBLIC_STATIC, self.utf8(name),
                                        self.utf8(descriptor), 1, self.utf8("Code"),
                                        len(body)) + body)

    def data(self):
        names = struct.pack(">HHH", 0x21, self.class_(self.name), self.class_("java/lang/Object"))
        pool = struct.pack(">H", len(self.constants) + 1) + b"".join(filter(None, self.constants))
        methods = struct.pack(">H", len(self.methods)) + b"".join(self.methods)
        return (struct.pack(">IHH", 0xcafebabe, 0, VERSION) + pool + names + bytes(4) + methods +
                bytes(2))
