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

// makeKeys creates the keys of the server and the user. There is one host key only, because
// Viewers may see a different one each time if there are several. The locked key is cheap
// to unlock.
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

// configure writes the configuration. StrictModes is off because the keys lie below a
// world-writable directory; Viewers need internal-sftp and forwarding.
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

// command returns the sshd command. As root it gets a private /tmp if the kernel allows it:
// Viewer 0.7.2 uses one directory there for all accounts of a machine, so concurrent tests
// would disturb each other.
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

// freePorts returns two ports that are currently free.
func freePorts(ctx context.Context) (a, b int, err error) {
	var config net.ListenConfig
	var ports [2]int
	for i := range ports {
		listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, fmt.Errorf("find a free port: %w", err)
		}
		defer listener.Close() //nolint:errcheck // no longer needed
		at, err := netip.ParseAddrPort(listener.Addr().String())
		if err != nil {
			return 0, 0, err
		}
		ports[i] = int(at.Port())
	}
	return ports[0], ports[1], nil
}

// tool runs a program and waits for it.
func tool(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
