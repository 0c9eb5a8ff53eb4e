"""Makes tests/fixtures/gguf-blocks.gguf and gguf-blocks.safetensors: a matrix in every type that GGUF files are read in.

    python tests/reference/gguf_blocks.py     # gguf 0.19, llama-cpp-python 0.3.36

llama.cpp quantizes (`ggml_quantize_chunk`); the gguf package, another implementation, says which numbers that is. The
matrix has values of many sizes, a block of zeros and one of equal values; random bytes below would test more bits, but
not that what llama.cpp writes is read.
"""
import ctypes
import os

import gguf
import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

FIXTURES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures")
TYPES = [Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q2_K, Type.Q3_K,
         Type.Q4_K, Type.Q5_K, Type.Q6_K]
ROWS, COLUMNS = 2, 512

ggml = ctypes.CDLL(os.path.join(os.path.dirname(llama_cpp.__file__), "lib", "libggml-base.so"))
ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]


def quantize(values, kind):
    block, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros((ROWS, COLUMNS // block * size), np.uint8)
    written = ggml.ggml_quantize_chunk(kind, values.ctypes.data, out.ctypes.data, 0, ROWS, COLUMNS, None)
    assert written == out.nbytes, (kind, written, out.nbytes)
    return out


random = np.random.default_rng(7)
values = (random.standard_normal((ROWS, COLUMNS)) * np.exp2(random.integers(-6, 3, (ROWS, COLUMNS // 32)).repeat(32, 1)))
values = values.astype(np.float32)
values[0, 64:96] = 0
values[1, 256:288] = -0.75

writer = gguf.GGUFWriter(os.path.join(FIXTURES, "gguf-blocks.gguf"), "llama")
expected = {}
for kind in TYPES:
    data = quantize(values, kind)
    if kind in (Type.F32, Type.F16):
        data = data.view(np.float32 if kind == Type.F32 else np.float16)
    writer.add_tensor(kind.name, data, raw_dtype=kind)
    expected[kind.name] = np.ascontiguousarray(gguf.quants.dequantize(data, kind), np.float32)
    off = np.abs(expected[kind.name] - values).max() / np.abs(values).max()
    print(f"{kind.name:5} {off:.1e} of the largest value away from what was quantized")
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
save_file(expected, os.path.join(FIXTURES, "gguf-blocks.safetensors"))
