"""A small network as torch runs it and as ONNX writes it, by hand; and graphs that a hostile file may hold."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

SIZE, CLASSES = 24, 5


def network() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES)
    ).eval()


def graph(
    *,
    shape: tuple[Any, ...] = ("N", 3, SIZE, SIZE),
    channels_last: bool = False,
    end: str = "",
    two_outputs: bool = False,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """The same network as an ONNX model. `end` is a last step, such as Softmax."""
    body = network()
    weights = {name: tensor.numpy() for name, tensor in body.state_dict().items()}
    numbers = np.float16 if kind == TensorProto.FLOAT16 else np.float32
    tensors = [numpy_helper.from_array(value.astype(numbers), name) for name, value in weights.items()]
    nodes = [helper.make_node("Transpose", ["x"], ["nchw"], perm=[0, 3, 1, 2])] if channels_last else []
    nodes += [
        helper.make_node("Conv", ["nchw" if channels_last else "x", "0.weight", "0.bias"], ["a"], strides=[2, 2],
                         pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["features"]),
        helper.make_node("Gemm", ["features", "4.weight", "4.bias"], ["scores"], transB=1),
    ]  # fmt: skip
    last = "scores"
    if end:
        nodes.append(helper.make_node(end, ["scores"], ["ended"]))
        last = "ended"
    outputs = [helper.make_tensor_value_info(last, kind, [shape[0], CLASSES])]
    if two_outputs:
        outputs.append(helper.make_tensor_value_info("features", kind, [shape[0], 6]))
    given = helper.make_tensor_value_info("x", kind, list(shape))
    return model_of(helper.make_graph(nodes, "net", [given], outputs, tensors))


def model_of(graph: onnx.GraphProto, **more: Any) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 17), *more.pop("opsets", [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="pytorch", **more)


def write(path: Path, model: onnx.ModelProto, **metadata: str) -> Path:
    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


def with_step(*steps: onnx.NodeProto, tensors: tuple[Any, ...] = (), **more: Any) -> onnx.ModelProto:
    """The network, with further steps that give "extra", a number that is added to the scores."""
    plain = graph()
    nodes = [*plain.graph.node, *steps, helper.make_node("Add", ["scores", "extra"], ["sum"])]
    output = helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["N", CLASSES])
    return model_of(
        helper.make_graph(nodes, "net", plain.graph.input, [output], [*plain.graph.initializer, *tensors]), **more
    )


def memory_bomb() -> onnx.ModelProto:
    """A few hundred bytes that ask for 64 GB."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1 << 17, 1 << 17])
    return with_step(
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["extra"], keepdims=0),
        tensors=(shape,),
    )


def endless_loop() -> onnx.ModelProto:
    count, go = (helper.make_tensor(n, k, [], [v]) for n, k, v in (("n", 7, 2**60), ("go", 9, True)))
    start = helper.make_tensor("start", TensorProto.FLOAT, [], [0.0])
    scalar, truth = (helper.make_tensor_value_info(n, k, []) for n, k in (("i", 7), ("c", 9)))
    inner, outer = (helper.make_tensor_value_info(n, TensorProto.FLOAT, []) for n in ("v", "w"))
    kept = helper.make_tensor_value_info("d", TensorProto.BOOL, [])
    steps = [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Add", ["v", "v"], ["w"])]
    body = helper.make_graph(steps, "body", [scalar, truth, inner], [kept, outer])
    return with_step(helper.make_node("Loop", ["n", "go", "start"], ["extra"], body=body), tensors=(count, go, start))


def slow() -> onnx.ModelProto:
    """Two thousand products of large matrices: small in the file and in memory, an hour of work."""
    side = helper.make_tensor("side", TensorProto.INT64, [2], [2_000, 2_000])
    steps = [helper.make_node("ConstantOfShape", ["side"], ["p0"])]
    steps += [helper.make_node("MatMul", [f"p{place}", "p0"], [f"p{place + 1}"]) for place in range(2_000)]
    return with_step(*steps, helper.make_node("ReduceSum", ["p2000"], ["extra"], keepdims=0), tensors=(side,))


def own_operator() -> onnx.ModelProto:
    step = helper.make_node("Run", ["scores"], ["extra"], domain="evil.example")
    return with_step(step, opsets=[helper.make_opsetid("evil.example", 1)])


def own_function() -> onnx.ModelProto:
    function = helper.make_function(
        "mine", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    step = helper.make_node("Twice", ["scores"], ["extra"], domain="mine")
    return with_step(step, opsets=[helper.make_opsetid("mine", 1)], functions=[function])


def weights_elsewhere(place: str) -> onnx.ModelProto:
    """The network with the weights of its first step in another file."""
    model = graph()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", "0"), ("length", str(6 * 3 * 9 * 4))):
        tensor.external_data.add(key=key, value=value)
    return model
