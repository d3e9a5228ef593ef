"""Subnormal numbers as zeros: the processor's control word, read and set by native code.

Numbers below the smallest normal one take many processors a hundred times as long, and derivatives
of long recurrences end in them. With the setting `flush_denormals`, programs are run in a mode that
takes them for zeros and gives zeros in their place. The mode belongs to a thread, so native code
sets it for the length of a call, and threads that run parts of a kernel take it from their caller.
"""

import platform

# The bits that say so: of x86, flush to zero and denormals are zero; of AArch64, flush to zero.
_X86, _ARM = 0x8040, 1 << 24

_CODE_X86 = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

; The control word of this thread.
define internal i64 @control() nounwind {
  %place = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %place)
  %word = load i32, ptr %place
  %wide = zext i32 %word to i64
  ret i64 %wide
}

define internal void @set_control(i64 %wide) nounwind {
  %place = alloca i32
  %word = trunc i64 %wide to i32
  store i32 %word, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  ret void
}
"""

_CODE_ARM = """
; The control word of this thread.
define internal i64 @control() nounwind {
  %word = call i64 asm sideeffect "mrs $0, fpcr", "=r"()
  ret i64 %word
}

define internal void @set_control(i64 %word) nounwind {
  call void asm sideeffect "msr fpcr, $0", "r"(i64 %word)
  ret void
}
"""

_CODE_ELSEWHERE = """
; No control word is known here.
define internal i64 @control() nounwind {
  ret i64 0
}

define internal void @set_control(i64 %word) nounwind {
  ret void
}
"""


def _of_machine() -> tuple[int, str]:
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return _X86, _CODE_X86
    if machine in ("aarch64", "arm64"):
        return _ARM, _CODE_ARM
    return 0, _CODE_ELSEWHERE


# The bits of the mode, 0 where they are unknown, and LLVM IR of `control` and `set_control`.
BITS, CODE = _of_machine()
