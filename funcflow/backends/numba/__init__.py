"""The CPU backend: kernels as LLVM IR, compiled and run in this process."""
