// Package statefile stores values of runs between restarts, in a file of bounded size that
// survives a kill at any moment and is replaced if it is damaged.
//
// The file is a bbolt database with one bucket, which is named after the version of the
// values; a file without that bucket is replaced. The key is the address of the Viewer and
// the id of the run. The file has no checksums of values: a value must show by itself whether it is damaged.
//
// A transaction of bbolt writes its pages to free space and is committed by one meta page, so
// a killed process leaves the state before or after it. A file that is damaged for another
// reason could make bbolt loop forever, which checkPages prevents, or make it panic or access
// unmapped memory, which recoverFaults turns into errors. The file is then replaced.
package statefile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// lockTimeout is how long to wait for the lock of the file while another process has it.
	lockTimeout = 200 * time.Millisecond
	// unusedAge is the age after which a value is deleted when space is freed, even beyond
	// what is needed.
	unusedAge = 60 * 24 * time.Hour
)

// Config configures a File. All fields are required.
type Config struct {
	Path     string
	MaxBytes int64 // of all keys and values
	// Version is the version of the values. A file of another version is replaced.
	Version string
	// ReadTime returns when a value was read from its Viewer; zero if the value is damaged.
	// The oldest values are deleted first.
	ReadTime func(value []byte) time.Time
	// Log receives the reason why a file was replaced.
	Log *slog.Logger
}

// File is an open state file. It must not be used by several goroutines concurrently.
type File struct {
	cfg    Config
	bucket []byte
	db     *bolt.DB
	bytes  int64 // size of all keys and values
}

// Open opens a state file, or creates it. A file that is damaged or has another version is
// replaced. It fails if another process has the file.
func Open(cfg Config) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		return nil, fmt.Errorf("create the state directory: %w", err)
	}
	f := &File{cfg: cfg, bucket: []byte("records-" + cfg.Version)}
	err := f.open()
	if err == nil || errors.Is(err, berrors.ErrTimeout) || errors.Is(err, fs.ErrPermission) {
		return f, err
	}
	cfg.Log.Warn("the search state is unusable and is replaced", slog.String("file", cfg.Path), slog.Any("error", err))
	if err := os.Remove(cfg.Path); err != nil {
		return nil, fmt.Errorf("remove the damaged search state: %w", err)
	}
	return f, f.open()
}

// open opens the file after it has checked all of its pages.
func (f *File) open() error {
	return recoverFaults(func() (err error) {
		if info, statErr := os.Stat(f.cfg.Path); statErr == nil && info.Size() > 4*f.cfg.MaxBytes {
			return errors.New("the file is more than four times as large as --state-bytes")
		} else if statErr == nil && info.Size() > 0 {
			if err := f.check(info.Size()); err != nil {
				return err
			}
		}
		if f.db, err = bolt.Open(f.cfg.Path, 0o600, &bolt.Options{Timeout: lockTimeout}); err != nil {
			return err
		}
		if err = recoverFaults(func() error { return f.db.Update(f.prepare) }); err != nil && !errors.Is(err, errDamaged) {
			return errors.Join(err, f.Close())
		}
		return err // a damaged file is not closed, which could wait forever for its open transaction
	})
}

// check checks the pages of the file while its lock prevents writes.
func (f *File) check(size int64) (err error) {
	db, err := bolt.Open(f.cfg.Path, 0o600, &bolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	file, err := os.Open(f.cfg.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return checkPages(file, size, db.Info().PageSize)
}

// prepare rejects a file of another version, and measures the size of its content.
func (f *File) prepare(tx *bolt.Tx) error {
	if err := tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
		if !bytes.Equal(name, f.bucket) {
			return errors.New("the file has another version")
		}
		return nil
	}); err != nil {
		return err
	}
	b, err := tx.CreateBucketIfNotExists(f.bucket)
	if err != nil {
		return err
	}
	f.bytes = 0
	return b.ForEach(func(k, v []byte) error {
		f.bytes += int64(len(k) + len(v))
		return nil
	})
}

func keyOf(viewer, runID string) []byte { return []byte(viewer + "\x00" + runID) }

// Load calls use for each value of a Viewer. The value is valid only during the call.
func (f *File) Load(viewer string, use func(runID string, value []byte)) error {
	return recoverFaults(func() error {
		return f.db.View(func(tx *bolt.Tx) error {
			prefix := keyOf(viewer, "")
			c := tx.Bucket(f.bucket).Cursor()
			for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
				use(string(k[len(prefix):]), v)
			}
			return nil
		})
	})
}

// Change is a value to be written, or to be deleted if it is nil.
type Change struct {
	Viewer, RunID string
	Value         []byte
}

// Save writes changes in one transaction. If MaxBytes is exceeded, it deletes values.
func (f *File) Save(changes []Change, now time.Time) error {
	return recoverFaults(func() error {
		total := f.bytes
		err := f.db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket(f.bucket)
			for _, c := range changes {
				key := keyOf(c.Viewer, c.RunID)
				if old := b.Get(key); old != nil {
					total -= int64(len(key) + len(old))
				}
				if c.Value == nil {
					if err := b.Delete(key); err != nil {
						return err
					}
					continue
				}
				total += int64(len(key) + len(c.Value))
				if err := b.Put(key, c.Value); err != nil {
					return err
				}
			}
			if total <= f.cfg.MaxBytes {
				return nil
			}
			freed, err := f.deleteOldest(b, total-f.cfg.MaxBytes*3/4, now)
			total -= freed
			return err
		})
		if err == nil {
			f.bytes = total
		}
		return err
	})
}

// deleteOldest deletes the values that were read the longest time ago, until need bytes are
// free.
func (f *File) deleteOldest(b *bolt.Bucket, need int64, now time.Time) (freed int64, err error) {
	type item struct {
		key  []byte
		at   time.Time
		size int64
	}
	var items []item
	err = b.ForEach(func(k, v []byte) error {
		items = append(items, item{bytes.Clone(k), f.cfg.ReadTime(v), int64(len(k) + len(v))})
		return nil
	})
	slices.SortFunc(items, func(a, b item) int { return a.at.Compare(b.at) })
	for _, i := range items {
		if err != nil || freed >= need && now.Sub(i.at) < unusedAge {
			break
		}
		freed += i.size
		err = b.Delete(i.key)
	}
	return freed, err
}

// Close closes the file.
func (f *File) Close() error {
	if f.db == nil {
		return nil
	}
	db := f.db
	f.db = nil
	return recoverFaults(db.Close)
}

// recoverFaults turns a panic or a memory fault into an error: a damaged or truncated file
// can cause both.
func recoverFaults(work func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	return work()
}

// errDamaged means that the file has content that bbolt does not write.
var errDamaged = errors.New("the file is damaged")
