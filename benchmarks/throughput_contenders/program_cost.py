"""What a compiled program does, read from the text that XLA made of it (optimised HLO): kernels, operations, bytes.

Counted as XLA's own cost analysis counts, which TensorFlow does not hand out: a product of matrices is two operations
for every pair of numbers, an elementwise operation one for each element, and a kernel reads its inputs and writes its
outputs once, of a table only the rows that it looks up. Loops are counted as a single pass.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

FREE = {"parameter", "constant", "bitcast", "tuple", "get-tuple-element"}  # no kernel of their own
LOOKUPS = {"gather", "dynamic-slice"}
TRANSCENDENTAL = {"exponential", "exponential-minus-one", "log", "log-plus-one", "logistic", "power", "rsqrt", "sqrt",
                  "tanh", "erf", "cosine", "sine"}  # fmt: skip
ARITHMETIC = TRANSCENDENTAL | {"add", "subtract", "multiply", "divide", "maximum", "minimum", "negate", "abs", "select",
                               "compare", "clamp", "sign", "and", "or", "not"}  # fmt: skip
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8,
         "f64": 8}  # fmt: skip
INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%(?P<name>\S+) = (?P<shape>\(.*?\)|\S+) (?P<op>[\w-]+)\((?P<rest>.*)$")
COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%(?P<name>\S+) \(.*\{$")


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one run of the program; `fusions` are those of the kernels that hold several operations."""

    kernels: int
    fusions: int
    flops: int
    transcendentals: int
    bytes: int


def cost(program: str) -> Cost:
    """Cost of a program, given as `experimental_get_compiler_ir(...)(stage="optimized_hlo")`.

    Raises:
      ValueError: there is no entry computation in the text.
    """
    computations, entry = _parse(program)
    kernels = _kernels(computations, entry)
    moved = sum(_size(each["shape"])[1] + sum(_reads(each, computations)) for each in kernels)
    counted = [each for computation in computations.values() for each in computation.values()]
    flops = sum(_flops(each, computations) for each in counted)
    transcendentals = sum(_size(each["shape"])[0] for each in counted if each["op"] in TRANSCENDENTAL)
    return Cost(len(kernels), sum(each["op"] == "fusion" for each in kernels), flops, transcendentals, moved)


def kernels(program: str) -> list[tuple[str, str]]:
    """Operation and shape of the output of each kernel, such as ("fusion", "f32[256,64]")."""
    return [(each["op"], each["shape"].split("{")[0]) for each in _kernels(*_parse(program))]


def optimized(function: Any, *inputs: Any) -> str:
    """The program of a `tf.function(jit_compile=True)` on these inputs."""
    text: str = function.experimental_get_compiler_ir(*inputs)(stage="optimized_hlo")
    return text


def _kernels(computations: dict[str, dict[str, Any]], entry: str) -> list[dict[str, Any]]:
    return [each for each in computations[entry].values() if each["op"] not in FREE]


def _parse(program: str) -> tuple[dict[str, dict[str, Any]], str]:
    computations: dict[str, dict[str, Any]] = {}
    entry, inside = "", ""
    for line in program.splitlines():
        if start := COMPUTATION.match(line):
            inside = start["name"]
            computations[inside] = {}
            entry = inside if start["entry"] else entry
        elif inside and (found := INSTRUCTION.match(line)):
            operands = re.findall(r"%([\w.-]+)", found["rest"].split("), ")[0])
            of = {"computation": inside, "operands": operands, **found.groupdict()}
            computations[inside][found["name"]] = of
    if not entry:
        raise ValueError("The program has no entry computation.")
    return computations, entry


def _reads(kernel: dict[str, Any], computations: dict[str, dict[str, Any]]) -> list[int]:
    """Bytes that a kernel reads of each operand: of what is only looked up, as much as is found."""
    within = computations[kernel["computation"]]
    shapes = [within[name]["shape"] for name in kernel["operands"] if name in within]
    called = re.search(r"calls=%([\w.-]+)", kernel["rest"])
    if kernel["op"] != "fusion" or not called:
        found = [_size(shape)[1] for shape in shapes]
        return [_size(kernel["shape"])[1], *found[1:]] if kernel["op"] in LOOKUPS else found
    body = computations[called[1]]
    reads = []
    for name, each in body.items():
        if each["op"] == "parameter":
            users = [user for user in body.values() if name in user["operands"]]
            looked_up = users and all(user["op"] in LOOKUPS and user["operands"][0] == name for user in users)
            reads.append(sum(_size(user["shape"])[1] for user in (users if looked_up else [each])))
    return reads


def _flops(instruction: dict[str, Any], computations: dict[str, dict[str, Any]]) -> int:
    elements, op = _size(instruction["shape"])[0], instruction["op"]
    within = computations[instruction["computation"]]
    if op == "dot":
        left = _dimensions(within[instruction["operands"][0]]["shape"])
        contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction["rest"])
        assert contracted is not None
        return 2 * elements * math.prod(left[int(k)] for k in contracted[1].split(",") if k)
    if op in ("reduce", "reduce-window"):
        first = instruction["operands"][0]
        return _size(within[first]["shape"])[0] - elements if first in within else 0
    # What a reduction calls, on numbers without dimensions, is counted there.
    return elements if op in ARITHMETIC and _dimensions(instruction["shape"]) else 0


def _dimensions(shape: str) -> list[int]:
    found = re.match(r"\w+\[([\d,]*)\]", shape)
    return [int(size) for size in found[1].split(",") if size] if found else []


def _size(shape: str) -> tuple[int, int]:
    """Elements and bytes of a shape, or of all in a tuple."""
    elements = size = 0
    for kind, dimensions in re.findall(r"(\w+)\[([\d,]*)\]", shape):
        count = math.prod(int(each) for each in dimensions.split(",") if each)
        elements, size = elements + count, size + count * BYTES.get(kind, 4)
    return elements, size
