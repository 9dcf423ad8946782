"""The operators of a TensorFlow Lite file with their constants, read without TensorFlow and without flatbuffers.

Only what a small float network needs: operator codes in order, and the float constants that each operator reads, half precision
ones (behind a ``DEQUANTIZE``) as float32. Numbers of tables' fields are those of ``tensorflow/lite/schema/schema.fbs``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from fo_faceanon.errors import WeightsError

#: Builtin operator codes that callers meet.
ADD, CONCATENATION, CONV_2D, DEPTHWISE_CONV_2D, DEQUANTIZE, MUL, PRELU = 0, 2, 3, 4, 6, 18, 54
_MODEL_CODES, _MODEL_SUBGRAPHS, _MODEL_BUFFERS = 1, 2, 4
_CODE_OLD, _CODE_NEW = 0, 3  # files from before 2020 know codes up to 127 only
_GRAPH_TENSORS, _GRAPH_OPERATORS = 0, 3
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_BUFFER = 0, 1, 2
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2
_FLOATS = {0: "<f4", 1: "<f2"}


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: its builtin code, and its non-empty float constants in the order of its inputs."""

    code: int
    constants: list[np.ndarray]


class _Table:
    """A flatbuffers table: a position, and a list of offsets to the fields that are present."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data, self._position = data, position
        self._fields = position - struct.unpack_from("<i", data, position)[0]
        self._end = struct.unpack_from("<H", data, self._fields)[0]

    def _field(self, number: int) -> int | None:
        entry = 4 + 2 * number
        offset = struct.unpack_from("<H", self._data, self._fields + entry)[0] if entry < self._end else 0
        return self._position + offset if offset else None

    def _follow(self, position: int) -> int:
        return position + struct.unpack_from("<I", self._data, position)[0]

    def number(self, number: int, kind: str) -> int:
        """A scalar of a ``struct`` kind; 0 where the field is absent."""
        at = self._field(number)
        return 0 if at is None else struct.unpack_from("<" + kind, self._data, at)[0]

    def vector(self, number: int, dtype: str) -> np.ndarray:
        """A vector of scalars; empty where the field is absent."""
        at = self._field(number)
        if at is None:
            return np.zeros(0, dtype)
        start = self._follow(at)
        return np.frombuffer(self._data, dtype, struct.unpack_from("<I", self._data, start)[0], start + 4)

    def tables(self, number: int) -> list[_Table]:
        """A vector of tables."""
        at = self._field(number)
        if at is None:
            return []
        start = self._follow(at)
        count = struct.unpack_from("<I", self._data, start)[0]
        return [_Table(self._data, self._follow(start + 4 + 4 * i)) for i in range(count)]


def read_operators(data: bytes, name: str) -> list[Operator]:
    """The operators of a file's first graph, in the order of execution; ``DEQUANTIZE`` of constants is left out.

    Args:
        data: the whole file.
        name: what errors call it.

    Raises:
        WeightsError: it is not a TensorFlow Lite file, or a damaged one.
    """
    try:
        if data[4:8] != b"TFL3":
            raise ValueError("it lacks the mark TFL3")
        model = _Table(data, struct.unpack_from("<I", data)[0])
        return _operators(model, model.tables(_MODEL_SUBGRAPHS)[0])
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise WeightsError(f"{name} is not a TensorFlow Lite network that can be read: {error}") from error


def _operators(model: _Table, graph: _Table) -> list[Operator]:
    codes = [max(code.number(_CODE_OLD, "b"), code.number(_CODE_NEW, "i")) for code in model.tables(_MODEL_CODES)]
    buffers = model.tables(_MODEL_BUFFERS)
    constants: dict[int, np.ndarray] = {}
    for i, tensor in enumerate(graph.tables(_GRAPH_TENSORS)):
        values = buffers[tensor.number(_TENSOR_BUFFER, "I")].vector(0, "u1")
        dtype = _FLOATS.get(tensor.number(_TENSOR_TYPE, "b"))
        if len(values) and dtype:
            shape = tensor.vector(_TENSOR_SHAPE, "<i4")
            constants[i] = values.view(dtype).reshape(shape).astype(np.float32)
    operators = []
    for entry in graph.tables(_GRAPH_OPERATORS):
        code = codes[entry.number(_OPERATOR_CODE, "I")]
        inputs = entry.vector(_OPERATOR_INPUTS, "<i4").tolist()
        if code == DEQUANTIZE and inputs[0] in constants:
            constants[int(entry.vector(_OPERATOR_OUTPUTS, "<i4")[0])] = constants[inputs[0]]
            continue
        operators.append(Operator(code, [constants[i] for i in inputs if i in constants]))
    return operators
