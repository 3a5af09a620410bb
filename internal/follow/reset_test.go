package follow

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// shifted returns n lines as long as those of runsourcetest.Lines with other contents.
func shifted(n int) string {
	return strings.ReplaceAll(runsourcetest.Lines(0, n), ".125,", ".375,")
}

// wantShifted returns the points of shifted lines.
func wantShifted(n int) []runsourcetest.Point {
	points := runsourcetest.Points(0, n, 0)
	for i := range points {
		points[i].Value += 0.25
	}
	return points
}

func TestFollow_ResetsWhenTheLogIsReplaced(t *testing.T) {
	const n, large = 50, 30_000
	last := runsourcetest.Lines(n-1, 1)
	tests := []struct {
		name          string
		before        string
		after         string
		want          []runsourcetest.Point
		reset         string
		onlyHeadShows bool // only the next comparison of the head detects it
	}{
		{"cut short", runsourcetest.Lines(0, n), runsourcetest.Lines(0, 3), runsourcetest.Points(0, 3, 0), "reset truncated", false},
		{"emptied", runsourcetest.Lines(0, n), "", nil, "reset truncated", false},
		{"replaced by a log of equal size", runsourcetest.Lines(0, n), shifted(n), wantShifted(n), "reset replaced", false},
		{"replaced by one of equal size with the same last line", runsourcetest.Lines(0, n), shifted(n-1) + last, append(wantShifted(n-1), runsourcetest.Points(n-1, n, len(runsourcetest.Lines(0, n-1)))...), "reset replaced", false},
		{"replaced by a longer one", runsourcetest.Lines(0, n), shifted(2 * n), wantShifted(2 * n), "reset replaced", false},
		{"replaced by a longer one with the same end", runsourcetest.Lines(0, n), shifted(1) + runsourcetest.Lines(1, n+1), append(wantShifted(1), runsourcetest.Points(1, n+2, len(runsourcetest.Lines(0, 1)))...), "reset replaced", true},
		{"replaced while its last line was torn", runsourcetest.Lines(0, n) + runsourcetest.Line(n, "1")[:20], shifted(2 * n), wantShifted(2 * n), "reset replaced", false},
		{"large and cut short", runsourcetest.Lines(0, large), runsourcetest.Lines(0, 3), runsourcetest.Points(0, 3, 0), "reset truncated", false},
		{"large and replaced by a longer one with the same end", runsourcetest.Lines(0, large), shifted(1) + runsourcetest.Lines(1, large+1), append(wantShifted(1), runsourcetest.Points(1, large+2, len(runsourcetest.Lines(0, 1)))...), "reset replaced", true},
	}
	for _, tt := range tests {
		t.Run(tt.name+", live", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newLiveSource(tt.before)
				c := follow(t, newTestHub(t, HubConfig{}), src, runsource.Beginning(), UntilEnded)
				c.wait(3 * time.Second)
				src.Replace(tt.after)
				c.wait(6 * time.Second)
				if tt.onlyHeadShows { // the head is compared every 10 s while the log grows
					src.Append("\n")
					c.wait(20 * time.Second)
					src.Append("\n")
					c.wait(20 * time.Second)
				}
				c.check(tt.want, "caught up", tt.reset, "caught up")
			})
		})
		t.Run(tt.name+", before a token is resumed elsewhere", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newLiveSource(tt.before)
				c := follow(t, newTestHub(t, HubConfig{}), src, runsource.Beginning(), UntilEnded)
				c.wait(3 * time.Second)
				src.Replace(tt.after)
				late := follow(t, newTestHub(t, HubConfig{}), src, c.at, UntilEnded)
				late.wait(6 * time.Second)
				late.check(tt.want, tt.reset, "caught up")
			})
		})
		t.Run(tt.name+", while the viewer was away", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newLiveSource(tt.before)
				c := follow(t, newTestHub(t, HubConfig{}), src, runsource.Beginning(), UntilEnded)
				c.wait(3 * time.Second)
				src.Set(func() { src.down = errors.New("refused") })
				c.wait(6 * time.Second)
				if h := c.cursor.Health(); h.State != UpstreamFailing || h.LastError == nil || time.Since(h.LastSuccess) < 5*time.Second {
					t.Errorf("health while the viewer is away: %+v", h)
				}
				src.Replace(tt.after)
				src.Set(func() { src.down = nil })
				c.wait(12 * time.Second)
				c.check(tt.want, "caught up", tt.reset, "caught up")
			})
		})
	}
}

func TestFollow_ContinuesWithTheSameLog(t *testing.T) {
	tests := []struct {
		name   string
		change func(*liveSource, *client)
	}{
		{"after the viewer was away", func(s *liveSource, c *client) {
			s.Set(func() { s.down = errors.New("refused") })
			s.Append(runsourcetest.Lines(10, 5))
			c.wait(20 * time.Second)
			s.Set(func() { s.down = nil })
		}},
		{"after a body was cut in the middle", func(s *liveSource, _ *client) {
			s.Append(runsourcetest.Lines(10, 5))
			s.Set(func() { s.Cuts = []int{runsource.CheckpointBytes + 70, 10, runsource.CheckpointBytes} })
		}},
		{"after its ETag changed an instant before its size", func(s *liveSource, c *client) {
			s.Set(func() { s.Touched++ })
			c.wait(400 * time.Millisecond)
			c.cursor.j.requestPoll(false)
			c.wait(10 * time.Millisecond)
			s.Append(runsourcetest.Lines(10, 5))
		}},
		{"after its file was not there for a moment", func(s *liveSource, c *client) {
			s.Set(func() { s.Absent = true })
			c.wait(400 * time.Millisecond)
			s.Append(runsourcetest.Lines(10, 5))
		}},
		{"after the run was not there for a moment", func(s *liveSource, c *client) {
			s.Set(func() { s.Deleted = true })
			c.wait(200 * time.Millisecond)
			c.cursor.j.requestPoll(false)
			c.wait(350 * time.Millisecond)
			s.Set(func() { s.Deleted = false })
			s.Append(runsourcetest.Lines(10, 5))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newLiveSource(runsourcetest.Lines(0, 10))
				c := follow(t, newTestHub(t, HubConfig{}), src, runsource.Beginning(), UntilEnded)
				c.wait(300 * time.Millisecond)
				tt.change(src, c)
				c.wait(12 * time.Second)
				c.check(runsourcetest.Points(0, 15, 0), "caught up")
			})
		})
	}
}

func TestFollow_Ends(t *testing.T) {
	whole := strings.TrimSuffix(runsourcetest.Line(3, "3.125"), "\n")
	tests := []struct {
		name   string
		until  Until
		change func(*liveSource, *client)
		want   []runsourcetest.Point
		trace  []string
	}{
		{"with an unterminated line that is complete", UntilEnded, func(s *liveSource, c *client) {
			c.wait(time.Second)
			s.Append(whole)
			s.setStatus("failed")
		}, runsourcetest.Points(0, 4, 0), []string{"caught up", "state failed", "end 1 failed"}},
		{"without an incomplete last line", UntilEnded, func(s *liveSource, c *client) {
			c.wait(time.Second)
			s.Append(whole[:40])
			s.setStatus("failed")
		}, runsourcetest.Points(0, 3, 0), []string{"caught up", "state failed", "end 1 failed"}},
		{"not while the log grows, even if the viewer reports its end", UntilEnded, func(s *liveSource, c *client) {
			c.wait(time.Second)
			s.setStatus("failed")
			for step := 3; step < 40; step++ {
				s.Append(runsourcetest.Lines(step, 1))
				c.waitFor(3 * time.Second)
			}
			if c.ended {
				c.t.Error("over too early")
			}
		}, runsourcetest.Points(0, 40, 0), []string{"caught up", "state failed", "state running", "end 1 failed"}},
		{"and reports that it continues when it has grown after its end", Forever, func(s *liveSource, c *client) {
			s.setStatus("finished")
			c.wait(10 * time.Second)
			s.Append(whole + "\n")
			c.wait(3 * time.Second)
		}, runsourcetest.Points(0, 4, 0), []string{"caught up", "state finished", "state running", "state finished"}},
		{"when the run was deleted", UntilEnded, func(s *liveSource, c *client) {
			c.wait(3 * time.Second)
			s.Set(func() { s.Deleted = true })
		}, runsourcetest.Points(0, 3, 0), []string{"caught up", "end 2 running"}},
		{"when the run was deleted, even for cursors that follow forever", Forever, func(s *liveSource, c *client) {
			c.wait(3 * time.Second)
			s.Set(func() { s.Deleted = true })
		}, runsourcetest.Points(0, 3, 0), []string{"caught up", "end 2 running"}},
		{"with an error when the viewer is away for too long", UntilEnded, func(s *liveSource, c *client) {
			c.wait(3 * time.Second)
			s.Set(func() { s.down = errors.New("refused") })
			c.wait(9 * time.Minute)
		}, runsourcetest.Points(0, 3, 0), []string{"caught up", "error: the viewer has not answered for too long: refused"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newLiveSource(runsourcetest.Lines(0, 3))
				h := newTestHub(t, HubConfig{})
				c := follow(t, h, src, runsource.Beginning(), tt.until)
				tt.change(src, c)
				c.wait(2 * time.Minute)
				c.check(tt.want, tt.trace...)
			})
		})
	}
	t.Run("when there is no such run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			src := newLiveSource("")
			src.Deleted = true
			c := follow(t, newTestHub(t, HubConfig{}), src, runsource.Beginning(), UntilEnded)
			c.wait(2 * time.Minute)
			c.check(nil, "end 3 ")
		})
	})
	t.Run("and its last position continues when the run is opened again", func(t *testing.T) {
		for _, rest := range []string{"", whole} {
			synctest.Test(t, func(t *testing.T) {
				src := newLiveSource(runsourcetest.Lines(0, 3) + rest)
				src.setStatus("finished")
				c := follow(t, newTestHub(t, HubConfig{}), src, runsource.Beginning(), UntilEnded)
				c.wait(time.Minute)
				src.setStatus("running")
				next := 3
				if rest != "" {
					src.Append("\n")
					next = 4
				}
				src.Append(runsourcetest.Lines(next, 2))
				late := follow(t, newTestHub(t, HubConfig{}), src, c.at, UntilEnded)
				late.wait(3 * time.Second)
				late.check(runsourcetest.Points(next, next+2, len(runsourcetest.Lines(0, next))), "caught up")
			})
		}
	})
	t.Run("and is void if the last line continued", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			src := newLiveSource(runsourcetest.Lines(0, 3) + whole)
			src.setStatus("finished")
			c := follow(t, newTestHub(t, HubConfig{}), src, runsource.Beginning(), UntilEnded)
			forever := follow(t, c.cursor.j.hub, src, runsource.Beginning(), Forever)
			c.wait(time.Minute)
			forever.wait(time.Second)
			src.Append(whole + "\n" + runsourcetest.Lines(4, 1))
			late := follow(t, newTestHub(t, HubConfig{}), src, c.at, UntilEnded)
			late.wait(3 * time.Second)
			all := append(runsourcetest.Points(0, 3, 0), runsourcetest.Points(4, 5, len(runsourcetest.Lines(0, 3)+whole+whole)+1)...)
			late.check(all, "reset replaced", "caught up")
			forever.wait(8 * time.Second)
			if forever.trace[2] != "reset replaced" {
				t.Errorf("forever: %v", forever.trace)
			}
		})
	})
}
