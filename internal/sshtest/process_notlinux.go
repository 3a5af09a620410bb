//go:build !linux

package sshtest

import (
	"errors"
	"syscall"
)

// supported reports that tests over SSH need Linux.
const supported = false

func attributes() *syscall.SysProcAttr { return nil }

func asUser(int, int) *syscall.SysProcAttr { return nil }

func killTree(int) error { return errors.ErrUnsupported }

func killUser(int) error { return errors.ErrUnsupported }

func killMentioning(int, string) error { return errors.ErrUnsupported }
