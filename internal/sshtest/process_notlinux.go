//go:build !linux

package sshtest

import (
	"errors"
	"syscall"
)

// supported says that tests over SSH are for Linux.
const supported = false

func attributes() *syscall.SysProcAttr { return nil }

func asUser(int, int) *syscall.SysProcAttr { return nil }

func killTree(int) error { return errors.ErrUnsupported }

func killUser(int) error { return errors.ErrUnsupported }

func killMentioning(int, string) error { return errors.ErrUnsupported }
