"""A graph of one ONNX operator, built in memory and run by ONNX Runtime on one thread."""
import numpy as np
import onnx
import onnxruntime


def run(operator, inputs, output, **attributes):
    """The operator's one output, of dtype ``output``; ``inputs``: arrays, None for one that is left out."""
    def value(name, dtype, shape):
        return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)

    arrays = {f"input{k}": np.asarray(array) for k, array in enumerate(inputs) if array is not None}
    names = [f"input{k}" if array is not None else "" for k, array in enumerate(inputs)]
    graph = onnx.helper.make_graph([onnx.helper.make_node(operator, names, ["y"], **attributes)], operator,
                                   [value(name, array.dtype, array.shape) for name, array in arrays.items()],
                                   [value("y", output, None)])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, arrays)[0]
