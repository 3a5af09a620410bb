package search

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The state file.
//
// It is a bbolt database with one bucket, which is named after the version of the format; a
// file without that bucket is replaced. The key is the address of the Viewer and the id of
// the run. The value is a record with its checksum, and is ignored if the checksum is wrong.
// A record is used only if its identity matches the list, and its first refresh compares the
// log with the checksums in the record.
//
// A transaction of bbolt writes its pages to free space and is committed by one meta page, so
// a killed process leaves the state before or after it. A file that is damaged for another
// reason could make bbolt loop forever, which checkPages prevents, or make it panic or access
// unmapped memory, which recoverFaults turns into errors. The file is then replaced.

const (
	// flushInterval is how long new records are collected before they are written together.
	flushInterval = 2 * time.Second
	// lockTimeout is how long to wait for the lock of the file while another process has it.
	lockTimeout = 200 * time.Millisecond
	// unusedAge is the age after which a record is deleted when space is freed, even beyond
	// what is needed.
	unusedAge = 60 * 24 * time.Hour
)

var bucketName = []byte("records-" + codecVersion)

// store is the state file of an index. It must not be used by several goroutines
// concurrently.
type store struct {
	db       *bolt.DB
	path     string
	maxBytes int64
	bytes    int64 // size of all keys and values
}

// openStore opens the state file, or creates it. A file that is damaged or has another
// version is replaced.
func openStore(path string, maxBytes int64, log *slog.Logger) (*store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the state directory: %w", err)
	}
	s := &store{path: path, maxBytes: maxBytes}
	err := s.open()
	if err == nil || errors.Is(err, berrors.ErrTimeout) || errors.Is(err, fs.ErrPermission) {
		return s, err
	}
	log.Warn("the search state is unusable and is replaced", slog.String("file", path), slog.Any("error", err))
	if err := os.Remove(path); err != nil {
		return nil, fmt.Errorf("remove the damaged search state: %w", err)
	}
	return s, s.open()
}

// open opens the file after it has checked all of its pages.
func (s *store) open() error {
	return recoverFaults(func() (err error) {
		if info, statErr := os.Stat(s.path); statErr == nil && info.Size() > 4*s.maxBytes {
			return errors.New("the file is more than four times as large as --state-bytes")
		} else if statErr == nil && info.Size() > 0 {
			if err := s.check(info.Size()); err != nil {
				return err
			}
		}
		if s.db, err = bolt.Open(s.path, 0o600, &bolt.Options{Timeout: lockTimeout}); err != nil {
			return err
		}
		if err = recoverFaults(func() error { return s.db.Update(s.prepare) }); err != nil && !errors.Is(err, errDamaged) {
			return errors.Join(err, s.close())
		}
		return err // a damaged file is not closed, which could wait forever for its open transaction
	})
}

// check checks the pages of the file while its lock prevents writes.
func (s *store) check(size int64) (err error) {
	db, err := bolt.Open(s.path, 0o600, &bolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return checkPages(file, size, db.Info().PageSize)
}

// prepare rejects a file of another version, and measures the size of its content.
func (s *store) prepare(tx *bolt.Tx) error {
	if err := tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
		if !bytes.Equal(name, bucketName) {
			return errors.New("the file has another version")
		}
		return nil
	}); err != nil {
		return err
	}
	b, err := tx.CreateBucketIfNotExists(bucketName)
	if err != nil {
		return err
	}
	s.bytes = 0
	return b.ForEach(func(k, v []byte) error {
		s.bytes += int64(len(k) + len(v))
		return nil
	})
}

func storeKey(viewer, runID string) []byte { return []byte(viewer + "\x00" + runID) }

// load calls use for each record of a Viewer, except for damaged ones.
func (s *store) load(viewer string, names func(string) string, use func(runID string, r *Record)) error {
	return recoverFaults(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			prefix := storeKey(viewer, "")
			c := tx.Bucket(bucketName).Cursor()
			for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
				if r, err := decodeRecord(v, names); err == nil {
					use(string(k[len(prefix):]), r)
				}
			}
			return nil
		})
	})
}

// stored is a change to the file: a record to be written, or to be deleted if it is nil.
type stored struct {
	viewer, runID string
	record        *Record
}

// save writes changes in one transaction. If maxBytes is exceeded, it deletes records.
func (s *store) save(records []stored, now time.Time) error {
	return recoverFaults(func() error {
		total := s.bytes
		err := s.db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketName)
			for _, r := range records {
				key := storeKey(r.viewer, r.runID)
				if old := b.Get(key); old != nil {
					total -= int64(len(key) + len(old))
				}
				if r.record == nil {
					if err := b.Delete(key); err != nil {
						return err
					}
					continue
				}
				value := r.record.encode()
				total += int64(len(key) + len(value))
				if err := b.Put(key, value); err != nil {
					return err
				}
			}
			if total <= s.maxBytes {
				return nil
			}
			freed, err := dropOldest(b, total-s.maxBytes*3/4, now)
			total -= freed
			return err
		})
		if err == nil {
			s.bytes = total
		}
		return err
	})
}

// dropOldest deletes the records that were read the longest time ago, until need bytes are
// free.
func dropOldest(b *bolt.Bucket, need int64, now time.Time) (freed int64, err error) {
	type item struct {
		key  []byte
		at   int64
		size int64
	}
	var items []item
	share := func(s string) string { return s }
	err = b.ForEach(func(k, v []byte) error {
		i := item{key: bytes.Clone(k), size: int64(len(k) + len(v))}
		if r, err := decodeRecord(v, share); err == nil {
			i.at = r.oldest(r.known)
		}
		items = append(items, i)
		return nil
	})
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.at, b.at) })
	for _, i := range items {
		if err != nil || freed >= need && now.Sub(time.Unix(0, i.at)) < unusedAge {
			break
		}
		freed += i.size
		err = b.Delete(i.key)
	}
	return freed, err
}

func (s *store) close() error {
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
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

func compareText(a, b string) int { return strings.Compare(a, b) }
