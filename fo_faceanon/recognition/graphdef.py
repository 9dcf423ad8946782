"""The constants of a frozen TensorFlow graph (``.pb``), read without TensorFlow and without protobuf."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fo_faceanon.errors import WeightsError

# Field numbers of tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape}.proto
_GRAPH_NODE, _NODE_NAME, _NODE_OP, _NODE_ATTR = 1, 1, 2, 5
_MAP_KEY, _MAP_VALUE, _ATTR_TENSOR = 1, 2, 8
_TENSOR_TYPE, _TENSOR_SHAPE, _TENSOR_CONTENT, _TENSOR_FLOATS, _SHAPE_DIM, _DIM_SIZE = 1, 2, 4, 5, 2, 1
_DT_FLOAT = 1


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def protobuf_fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """``(field number, value)`` of a protobuf message; the value is an integer or the raw bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"protobuf wire type {kind}")
        if at + length > len(data):
            raise IndexError("a field runs past the end")
        yield key >> 3, data[at : at + length]
        at += length


def _first(data: memoryview, number: int, default: Any = b"") -> Any:
    return next((value for field, value in protobuf_fields(data) if field == number), default)


def _float_tensor(data: memoryview) -> np.ndarray | None:
    """The array of a float32 TensorProto; None for other types."""
    if _first(data, _TENSOR_TYPE, 0) != _DT_FLOAT:
        return None
    shape = [_first(dim, _DIM_SIZE, 0) for field, dim in protobuf_fields(_first(data, _TENSOR_SHAPE)) if field == _SHAPE_DIM]
    content = _first(data, _TENSOR_CONTENT)
    if len(content):
        return np.frombuffer(content, "<f4").reshape(shape)
    parts = []
    for field, value in protobuf_fields(data):
        if field == _TENSOR_FLOATS:
            parts.append(np.frombuffer(value, "<f4"))
    values = np.concatenate(parts) if parts else np.zeros(1, np.float32)
    return np.full(shape, values[0]) if values.size == 1 else values.reshape(shape)  # one value stands for all


def read_graph_constants(path: str | Path) -> dict[str, np.ndarray]:
    """Every float32 ``Const`` of a frozen GraphDef by its node name.

    Raises:
        WeightsError: the file is not a GraphDef, or is cut short.
    """
    constants = {}
    try:
        for field, node in protobuf_fields(memoryview(Path(path).read_bytes())):
            if field != _GRAPH_NODE or bytes(_first(node, _NODE_OP)) != b"Const":
                continue
            for key, attribute in protobuf_fields(node):
                if key == _NODE_ATTR and bytes(_first(attribute, _MAP_KEY)) == b"value":
                    array = _float_tensor(_first(_first(attribute, _MAP_VALUE), _ATTR_TENSOR))
                    if array is not None:
                        constants[bytes(_first(node, _NODE_NAME)).decode()] = array
    except (ValueError, IndexError, TypeError) as error:
        raise WeightsError(f"{path} is not a whole frozen TensorFlow graph ({error}); fetch the file again") from error
    return constants
