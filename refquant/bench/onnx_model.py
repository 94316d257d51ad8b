"""ONNX Runtime with a model of one node."""
# mypy: disable-error-code="import-not-found"
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime

OPSET, IR_VERSION = 21, 10


def session(operator: str, inputs: dict[str, np.ndarray], constant: tuple[str, ...], threads: int,
            **attributes: Any) -> onnxruntime.InferenceSession:
    """A session of ``operator`` with int32 results.  constant : those of its ``inputs`` that are part of the model."""
    helper = onnx.helper
    node = helper.make_node(operator, list(inputs), ["y"], **attributes)
    fed = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
           for name, array in inputs.items() if name not in constant]
    answer = helper.make_tensor_value_info("y", onnx.TensorProto.INT32, None)
    graph = helper.make_graph([node], operator, fed, [answer],
                              [onnx.numpy_helper.from_array(inputs[name], name) for name in constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
