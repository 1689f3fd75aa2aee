/** How libraries say that there was not enough memory, and where they do. */
const OUT_OF_MEMORY: ReadonlyArray<{ readonly source: string; readonly pattern: RegExp }> = [
  {
    source:
      'the exceptions of CPython 3.14, NumPy 2, Arrow 18, CuPy 13, torch 2.11, ray 2.50, the JVM through py4j, DuckDB 1 and RMM 25',
    pattern: /(?:^|[\s.(])(?:\w*MemoryError|\w*OutOfMemory(?:Error|Exception))(?:\)|:|\s|$)/,
  },
  { source: 'TensorFlow 2.20, errors_impl.py; Paddle 3, enforce.h', pattern: /\bResourceExhaustedError\b/ },
  {
    source: 'JAX 0.11 (XLA, xla/tsl/framework and pjrt)',
    pattern:
      /\b(?:JaxRuntimeError|XlaRuntimeError): RESOURCE_EXHAUSTED\b|\bRESOURCE_EXHAUSTED: (?:Out of memory|Failed to allocate)/,
  },
  {
    source:
      'torch 2.11 (CUDA, HIP, XPU, MPS, NPU), JAX 0.11, CuPy 13, XGBoost 3, CatBoost 1.2, LightGBM 4, MXNet 1.9, TensorRT 10, NCCL 2.27',
    pattern:
      /(?<!(?:may|might|could|possibly|maybe|likely|probably|if)\b[^.\n]{0,30})\bout[ _]of[ _]memory\b/i,
  },
  {
    source:
      'CUDA 13 driver and runtime, numba 0.62; HIP 7; Level Zero 1.24 and Unified Runtime; OpenCL 3, also through Boost',
    pattern:
      /\b(?:CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|hipErrorOutOfMemory|hipErrorMemoryAllocation|\w+_ERROR_OUT_OF_(?:DEVICE|HOST)_MEMORY|CL_OUT_OF_HOST_MEMORY|CL_MEM_OBJECT_ALLOCATION_FAILURE)\b|\bMemory Object Allocation Failure\b/,
  },
  {
    source: 'cuBLAS, cuSPARSE, cuSOLVER, cuFFT, cuRAND 13, cuDNN 9; hipBLAS, rocBLAS and MIOpen 7',
    pattern:
      /\b[A-Za-z]+_(?:\w+_)?ALLOC(?:ATION)?_FAILED\b|\brocblas_status_memory_error\b|\bmiopenStatusAllocFailed\b/,
  },
  { source: 'Windows, System Error Codes: 8, 14, 1455', pattern: /\[WinError (?:8|14|1455)\]/ },
  {
    source: 'errno 12 (ENOMEM), as CPython 3.14, torch 2.11, Rust and the kernel write it',
    pattern: /\[Errno 12\]|\bcannot allocate memory\b/i,
  },
  {
    source:
      'the allocators of torch 2.11 (c10/core/impl/alloc_cpu.cpp), ONNX Runtime 1.23, XGBoost 3, DirectML, NCCL 2.27, Rust',
    pattern:
      /\b(?:can't|cannot|could not|unable to|failed to|failed to CUDA) (?:m|c|re)?alloc(?:ate)? (?:[^.\n]{0,60}\b(?:memory|bytes)\b|[\d.]+ ?[KMGTP]i?B\b)|\b(?:memory allocation (?:error|failed|failure)|memory allocation of \d+ bytes failed|not enough (?:free )?(?:GPU )?(?:video )?memory|insufficient memory)\b/i,
  },
  {
    source: 'libstdc++ and the C++ library of Visual Studio; XGBoost 3',
    pattern: /\bstd::bad_alloc\b|\bbad allocation\b|\bbad_malloc\b/,
  },
  {
    source: 'torch 2.11, aten/mps/MPSAllocator.mm; MLX 0.29, backend/metal/allocator.cpp',
    pattern:
      /\bRuntimeError: Invalid buffer size: |\bAttempting to allocate \d+ bytes which is greater than the maximum allowed buffer size\b/,
  },
  {
    source: 'TensorFlow 2.20, bfc_allocator.cc, copy_tensor.cc',
    pattern: /\bOOM when allocating tensor\b|\bDst tensor is not initialized\b/,
  },
  {
    source:
      'vLLM 0.10, v1/core/kv_cache_utils.py and v1/worker/gpu_worker.py; accelerate 1.10, utils/memory.py',
    pattern:
      /\bNo available memory for the cache blocks\b|\bFree memory on device .{0,80}is less than desired GPU memory\b|\blarger than the (?:available KV cache memory|maximum number of tokens that can be stored in KV cache)\b|\bNo executable batch size found, reached zero\b/,
  },
  {
    source: 'ray 2.50, exceptions.py and the raylet',
    pattern: /\bkilled due to (?:the node running low on memory|memory pressure)\b/,
  },
];

/**
 * What looks similar: the limits of one GPU kernel (Triton 3.6, Inductor of torch 2.11, Pallas of JAX 0.11), a quota of a
 * cloud service, a message that gRPC refuses, a full disk and too many open files, which
 * TensorFlow calls exhausted too, and a library that glibc cannot load (dl-tls).
 */
const OTHER_LIMITS =
  /\bout of resources?\b|\bshared memory\b|\bmemory space (?:vmem|smem)\b|\bquota\b|\blarger than max\b|\bno space left\b|\btoo many open files\b|\bstatic TLS block\b/i;

/** Whether an exception's text says that there was not enough memory. */
export function isOutOfMemory(text: string): boolean {
  return text
    .split('\n')
    .some((line) => OUT_OF_MEMORY.some(({ pattern }) => pattern.test(line)) && !OTHER_LIMITS.test(line));
}
