"""The operators that a graph from outside may hold: those that only compute.

A package is data. ATen also has operators that read files, hand out memory as it is or change
their operands; so the list says what is allowed, not what is forbidden. Having a place here is not
having a rule: what has none is served by the forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any

from ancestral.compile.errors import CompileError
from ancestral.compile.graph import ARITHMETIC, Graph, Node, Ref

_NAMES = """
__and__ __lshift__ __or__ __rshift__ __xor__
abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv alias all amax amin aminmax any
arange argmax argmin argsort asin asinh atan atan2 atanh avg_pool1d avg_pool2d avg_pool3d
adaptive_avg_pool1d adaptive_avg_pool2d baddbmm batch_norm bilinear bitwise_and bitwise_not
bitwise_or bitwise_xor bmm
broadcast_tensors broadcast_to bucketize cat ceil celu channel_shuffle chunk clamp clamp_max
clamp_min clip clone concat concatenate constant_pad_nd contiguous conv1d conv2d conv3d
conv_transpose1d conv_transpose2d conv_transpose3d convolution copy copysign cos cosh cross cummax
cummin cumprod cumsum deg2rad detach diag diag_embed diagonal diagonal_scatter diff div divide dot
dropout dstack einsum elu embedding embedding_bag eq equal erf erfc erfinv exp exp2 expand
expand_as expm1 eye feature_dropout alpha_dropout fill flatten flip fliplr flipud floor
floor_divide fmod frac full full_like gather ge gelu glu greater greater_equal group_norm gru
gru_cell gt hardshrink hardsigmoid hardswish hardtanh heaviside hstack hypot im2col col2im index
index_add index_copy index_fill index_put index_select instance_norm isfinite isinf isnan kron
layer_norm ldexp le leaky_relu lerp less less_equal lift_fresh lift_fresh_copy linear linspace log
log10 log1p log2 log_sigmoid log_softmax logaddexp logaddexp2 logcumsumexp logical_and logical_not
logical_or logical_xor logit logspace logsumexp lstm lstm_cell lt masked_fill masked_scatter matmul
max max_pool1d max_pool2d max_pool3d max_pool2d_with_indices maximum mean median meshgrid min
minimum mish mm movedim moveaxis mul multiply mv nan_to_num narrow native_batch_norm native_dropout
native_group_norm native_layer_norm ne neg negative new_full new_ones new_zeros norm not_equal
linalg_vector_norm linalg_matmul one_hot ones ones_like outer pad pairwise_distance permute
pixel_shuffle pixel_unshuffle polar positive pow prelu prod rad2deg ravel real reciprocal
reflection_pad1d reflection_pad2d reflection_pad3d relu relu6 remainder repeat repeat_interleave
replication_pad1d replication_pad2d replication_pad3d reshape reshape_as rms_norm rnn_relu
rnn_relu_cell rnn_tanh rnn_tanh_cell roll rot90 round rrelu rsqrt rsub scalar_tensor
scaled_dot_product_attention scatter scatter_add scatter_reduce searchsorted select select_scatter
selu sgn sigmoid sign signbit silu sin sinc sinh size slice slice_scatter softmax softplus
softshrink sort special_erf special_expit special_log_softmax special_logit special_ndtr
special_softmax special_xlogy split split_with_sizes sqrt square squeeze stack std sub subtract sum
swapaxes swapdims sym_numel sym_size t take take_along_dim tan tanh tensor_split tensordot
threshold tile to topk trace transpose trapezoid tril tril_indices triu triu_indices true_divide
trunc type_as unbind unflatten unfold unsqueeze upsample_bicubic2d upsample_bilinear2d
upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d vander var var_mean
view view_as view_copy vstack where xlogy zeros zeros_like
arccos arccosh arcsin arcsinh arctan arctan2 arctanh adjoint column_stack cosine_similarity dsplit
fix float_power ger hsplit inner linalg_norm mH mT matrix_H numpy_T row_stack unsafe_chunk
unsafe_split unsafe_split_with_sizes vsplit std_mean __and__ __or__ __xor__
_weight_norm _weight_norm_interface _softmax _log_softmax _to_copy _unsafe_view _reshape_alias
_native_batch_norm_legit_no_training _native_batch_norm_legit _native_batch_norm_legit_functional
_batch_norm_impl_index _scaled_dot_product_flash_attention_for_cpu
_scaled_dot_product_efficient_attention _scaled_dot_product_attention_math
_adaptive_avg_pool2d _prelu_kernel
expand_copy permute_copy transpose_copy unsqueeze_copy squeeze_copy select_copy slice_copy
split_copy unbind_copy detach_copy alias_copy split_with_sizes_copy diagonal_copy unfold_copy t_copy
"""
ALLOWED = frozenset(f"aten.{name}" for name in _NAMES.split())

# Operators that make tensors of the sizes they are told.
_MAKE = frozenset(
    f"aten.{name}"
    for name in ("full", "zeros", "ones", "eye", "new_full", "new_zeros", "new_ones", "arange",
                 "linspace", "logspace", "tril_indices", "triu_indices", "repeat", "tile",
                 "one_hot", "repeat_interleave")
)  # fmt: skip
_LARGEST = 1 << 28  # elements of what is made

_RANDOM = ("rand", "bernoulli", "normal", "multinomial", "poisson", "exponential", "uniform")
_NORMS = {  # the position of the argument `training`
    "aten.batch_norm": 5,
    "aten.native_batch_norm": 5,
    "aten._native_batch_norm_legit": 5,
    "aten._native_batch_norm_legit_functional": 5,
    "aten._batch_norm_impl_index": 5,
}
_DROPOUTS = ("aten.dropout", "aten.feature_dropout", "aten.alpha_dropout", "aten.native_dropout",
             "aten.feature_alpha_dropout")  # fmt: skip
_RECURRENT = ("aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu")


def check_operators(graph: Graph, in_place: bool = False) -> None:
    """Raise CompileError, naming the operator and its line, for what is not plain computation.

    Also for what a module only does in training: batch norm by the batch's statistics, dropout.
    `in_place` lets the writing forms pass, and memory that is made to be written.
    """
    for node in graph.nodes:
        fault = _training(node) or (_fault(_twin(node)) if in_place else _fault(node))
        if fault:
            at = f" (at {node.source})" if node.source else ""
            raise CompileError(f"operator {node.op} {node.name}: {fault}{at}")


def _twin(node: Node) -> Node:
    """The operator that returns what this one writes."""
    packet = node.packet if node.packet.endswith("__") else node.packet.removesuffix("_")
    others = {"aten.zero": "aten.zeros", "aten.empty": "aten.zeros", "aten.new_empty":
              "aten.new_zeros", "aten.empty_like": "aten.zeros_like"}  # fmt: skip
    overload = node.op.split(".")[2:]
    return replace(node, op=".".join([others.get(packet, packet), *overload]))


def _training(node: Node) -> str | None:
    """What says that the module was exported in training mode."""
    at = _NORMS.get(node.packet)
    if at is not None and _argument(node, at, "training", default=False) is True:
        return "batch norm in training form; call .eval() on the module before torch.export.export"
    if node.packet in _DROPOUTS:
        probability = _argument(node, 1, "p", default=0)
        if _argument(node, 2, "train", default=False) is True and probability:
            return "dropout in training form; call .eval() on the module before torch.export.export"
    if node.packet in _RECURRENT and ".input" in node.op:
        dropout, train = _argument(node, 5, "dropout"), _argument(node, 6, "train")
        if train is True and dropout:
            return "dropout in training form; call .eval() on the module before torch.export.export"
    if node.packet == "aten.scaled_dot_product_attention" and _argument(node, 4, "dropout_p"):
        return "dropout in attention; call .eval() on the module before torch.export.export"
    return None


def _argument(node: Node, at: int, name: str, default: Any = None) -> Any:
    return node.args[at] if at < len(node.args) else node.kwargs.get(name, default)


def _fault(node: Node) -> str | None:
    if node.op in ARITHMETIC:
        return None
    if node.packet not in ALLOWED:
        name = node.packet.removeprefix("aten.")
        if node.packet.startswith("aten.") and name.startswith(_RANDOM):
            return "the forward pass draws random numbers, so there is no one likelihood"
        return "is not among the operators that a model may be made of"
    if node.packet in _MAKE:
        for sizes in _number_lists((*node.args, *node.kwargs.values())):
            if prod(sizes) > _LARGEST:
                return f"makes a tensor of sizes {sizes}, which is too large"
    return None


def _number_lists(values: Any) -> Iterator[list[int]]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield [abs(item) for item in value if isinstance(item, int)]
        elif isinstance(value, int) and not isinstance(value, (bool, Ref)):
            yield [abs(value)]
