# SPDX-License-Identifier: BSD-2-Clause
"""Stops a process between two of its system calls, for what hangs on their order."""

import contextlib
import ctypes
import os
import platform

SYSCALL, DETACH, SEIZE, INTERRUPT, GET_SYSCALL_INFO = 24, 17, 0x4206, 0x4207, 0x420E
TRACESYSGOOD = 1
WALL = 0x40000000
ENTRY = 1  # ptrace_syscall_info.op
RECVFROM = {"x86_64": 45, "aarch64": 207}.get(platform.machine())

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class SyscallInfo(ctypes.Structure):
    _fields_ = [("op", ctypes.c_uint8), ("arch", ctypes.c_uint32), ("ip", ctypes.c_uint64),
                ("sp", ctypes.c_uint64), ("number", ctypes.c_uint64), ("args", ctypes.c_uint64 * 8)]


def ptrace(request, pid, address=0, data=0):
    if libc.ptrace(request, pid, address, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


@contextlib.contextmanager
def before_recv(pid, cause):
    """Calls cause(), and holds the process where it is about to receive what that sent to it."""
    ptrace(SEIZE, pid, 0, TRACESYSGOOD)
    try:
        ptrace(INTERRUPT, pid)
        os.waitpid(pid, WALL)
        cause()
        info = SyscallInfo()
        while (info.op, info.number) != (ENTRY, RECVFROM):
            ptrace(SYSCALL, pid)
            os.waitpid(pid, WALL)
            ptrace(GET_SYSCALL_INFO, pid, ctypes.sizeof(info), ctypes.addressof(info))
        yield
    finally:
        ptrace(DETACH, pid)
