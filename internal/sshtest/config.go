package sshtest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
)

// makeKeys makes the keys of server and user: one host key only, because
// Viewers may meet another one each time where there are several. The locked
// key is cheap to unlock.
func (s *Server) makeKeys(ctx context.Context) error {
	s.Key, s.LockedKey, s.ForeignKey = filepath.Join(s.Dir, "key"), filepath.Join(s.Dir, "locked-key"), filepath.Join(s.Dir, "foreign-key")
	var authorized []byte
	for _, key := range []struct {
		path, passphrase string
		authorized       bool
	}{
		{s.Key, "", true},
		{s.LockedKey, s.Passphrase, true},
		{s.ForeignKey, "", false},
		{filepath.Join(s.Dir, "hostkey"), "", false},
	} {
		if err := tool(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-a", "1", "-N", key.passphrase, "-C", "sshtest", "-f", key.path); err != nil {
			return err
		}
		if !key.authorized {
			continue
		}
		public, err := os.ReadFile(key.path + ".pub")
		if err != nil {
			return err
		}
		authorized = append(authorized, public...)
	}
	return os.WriteFile(filepath.Join(s.Dir, "authorized_keys"), authorized, 0o644)
}

// configure writes the configuration. Keys lie below a directory that anyone
// may write to, hence StrictModes; internal-sftp and forwarding are what
// Viewers need.
func (s *Server) configure(path, bare string) error {
	password := "no"
	if s.Password != "" {
		password = "yes"
	}
	text := fmt.Sprintf(`Port %d
Port %d
ListenAddress 127.0.0.1
AddressFamily inet
HostKey %[3]s/hostkey
PidFile %[3]s/sshd.pid
AuthorizedKeysFile %[3]s/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication %[4]s
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin %[5]s
AllowUsers %[6]s
AllowTcpForwarding yes
UseDNS no
MaxStartups 100:30:200
LogLevel VERBOSE
Subsystem sftp internal-sftp
Match LocalPort %[1]d
  SetEnv PATH=%[7]s
Match LocalPort %[2]d
  SetEnv PATH=%[8]s
`, s.Port, s.BarePort, s.Dir, password, s.account.rootLogin(), s.User, path, bare)
	return os.WriteFile(filepath.Join(s.Dir, "sshd_config"), []byte(text), 0o644)
}

// command is sshd. As root it gets a /tmp of its own where the kernel allows
// that: Viewer 0.7.2 has one directory there for all accounts of a machine,
// and tests that run at the same time would be in each other's way.
func (s *Server) command() *exec.Cmd {
	args := []string{"-D", "-f", filepath.Join(s.Dir, "sshd_config"), "-E", filepath.Join(s.Dir, "sshd.log")}
	private := filepath.Join(s.Dir, "tmp")
	if !s.account.own || os.MkdirAll(private, 0o777) != nil || os.Chmod(private, 0o777|os.ModeSticky) != nil {
		return exec.Command(sshdPath, args...) //nolint:noctx // ended by Kill
	}
	const script = `mount --bind "$0" /tmp 2>/dev/null; exec "$@"`
	args = append([]string{"-c", script, private, sshdPath}, args...)
	if unshare, err := exec.LookPath("unshare"); err == nil && exec.Command(unshare, "-m", "true").Run() == nil { //nolint:noctx // ends at once
		return exec.Command(unshare, append([]string{"-m", "sh"}, args...)...) //nolint:noctx // ended by Kill
	}
	return exec.Command(sshdPath, args[4:]...) //nolint:noctx // ended by Kill
}

// freePorts returns two ports that were free a moment ago.
func freePorts(ctx context.Context) (a, b int, err error) {
	var config net.ListenConfig
	var ports [2]int
	for i := range ports {
		listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, fmt.Errorf("find a free port: %w", err)
		}
		defer listener.Close() //nolint:errcheck // it has served
		at, err := netip.ParseAddrPort(listener.Addr().String())
		if err != nil {
			return 0, 0, err
		}
		ports[i] = int(at.Port())
	}
	return ports[0], ports[1], nil
}

// tool runs a program to its end.
func tool(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
