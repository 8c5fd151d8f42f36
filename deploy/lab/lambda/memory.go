package lambda

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// residentPeak returns the largest resident set, in bytes, that a live process
// has had; 0 where there is no /proc. It is exact where the kernel's figure at
// exit is not: Linux counts the parent's memory for a child until it calls
// exec.
func residentPeak(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if rest, ok := bytes.CutPrefix(s.Bytes(), []byte("VmHWM:")); ok {
			kB, _ := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(rest, []byte("kB")))), 10, 64)
			return kB << 10
		}
	}
	return 0
}

// residentPeakAtExit is the same figure of a process that has ended, from
// where there is no /proc.
func residentPeakAtExit(p *os.ProcessState) int64 {
	u, ok := p.SysUsage().(*syscall.Rusage)
	if !ok || runtime.GOOS == "linux" {
		return 0
	}
	return u.Maxrss // bytes on macOS
}
