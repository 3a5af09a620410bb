//go:build unix

package e2e

import (
	"io/fs"
	"os"
	"syscall"
)

// giveTo gives one file the owner of another.
func giveTo(owner fs.FileInfo, path string) error {
	if stat, ok := owner.Sys().(*syscall.Stat_t); ok {
		return os.Lchown(path, int(stat.Uid), int(stat.Gid))
	}
	return nil
}
