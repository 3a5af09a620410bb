//go:build unix

package e2e

import (
	"io/fs"
	"os"
	"syscall"
)

// giveTo makes the owner of a file that of another one.
func giveTo(owner fs.FileInfo, path string) error {
	if stat, ok := owner.Sys().(*syscall.Stat_t); ok {
		return os.Lchown(path, int(stat.Uid), int(stat.Gid))
	}
	return nil
}
