package sshtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
)

// account is the account that logs in: one created for the server if the tests run as root,
// else the current one, whose password is unknown.
type account struct {
	name, password string
	uid, gid       int
	own            bool // created here, and to be removed
}

// newAccount creates an account, or returns the current one.
func newAccount(ctx context.Context, home string) (*account, error) {
	if os.Getuid() != 0 {
		present, err := user.Current()
		if err != nil {
			return nil, err
		}
		return &account{name: present.Username, uid: os.Getuid(), gid: os.Getgid()}, nil
	}
	// sshd drops privileges here; on Debian the service creates it.
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		return nil, err
	}
	a := &account{name: "sshtest-" + strings.ToLower(newSecret()[len("canary-"):][:8]), password: newSecret(), own: true}
	if err := tool(ctx, "useradd", "-M", "-d", home, "-s", "/bin/bash", a.name); err != nil {
		return nil, err
	}
	change := exec.CommandContext(ctx, "chpasswd")
	change.Stdin = strings.NewReader(a.name + ":" + a.password + "\n")
	if out, err := change.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("chpasswd: %w: %s", err, out), a.close(home))
	}
	made, err := user.Lookup(a.name)
	if err != nil {
		return nil, errors.Join(err, a.close(home))
	}
	var uidErr, gidErr error
	a.uid, uidErr = strconv.Atoi(made.Uid)
	a.gid, gidErr = strconv.Atoi(made.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, errors.Join(err, a.close(home))
	}
	return a, os.Chown(home, a.uid, a.gid)
}

// rootLogin returns the PermitRootLogin setting, for tests that run as root without other
// accounts.
func (a *account) rootLogin() string {
	if a.name == "root" {
		return "yes"
	}
	return "no"
}

// close removes a created account and its processes. For the current account it only ends
// processes of sessions that mention the server's directory.
func (a *account) close(dir string) error {
	if !a.own {
		return killMentioning(a.uid, dir)
	}
	var err error
	if a.uid != 0 {
		err = killUser(a.uid)
	}
	return errors.Join(err, tool(context.Background(), "userdel", a.name))
}
