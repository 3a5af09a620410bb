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

// How records are kept.
//
// The file is a bbolt database with one bucket, which is named after the version of the
// format; a file without it is made anew. A key is the address of the Viewer and the id of
// the run; a value is a record with its checksum, and one that does not fit it is not
// believed. What a record says is used only if the list says that the run is the one that
// it was made of, and the first refresh compares the log with what the record knows of it.
//
// Each transaction of bbolt is written behind the data in use, and then made valid by one
// page: a process that is killed leaves the state before or after it. A file that is
// damaged nevertheless could have bbolt go round in circles, which checkPages finds before it
// is opened; or panic, or read memory that is not there: both are caught here. It is made anew
// then.

const (
	// flushInterval is how long new records wait to be written together.
	flushInterval = 2 * time.Second
	// lockTimeout is how long another process may hold the file.
	lockTimeout = 200 * time.Millisecond
	// unusedAge is after how long a record goes that nobody has asked for.
	unusedAge = 60 * 24 * time.Hour
)

var bucketName = []byte("records-" + codecVersion)

// store is the file of an index. It is used by one goroutine at a time.
type store struct {
	db       *bolt.DB
	path     string
	maxBytes int64
	bytes    int64 // of all keys and values
}

// openStore opens the file, or makes it. A damaged one, and one of another version, is
// replaced.
func openStore(path string, maxBytes int64, log *slog.Logger) (*store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	s := &store{path: path, maxBytes: maxBytes}
	err := s.open()
	if err == nil || errors.Is(err, berrors.ErrTimeout) || errors.Is(err, fs.ErrPermission) {
		return s, err
	}
	log.Warn("the search state cannot be used and is made anew", slog.String("file", path), slog.Any("error", err))
	if err := os.Remove(path); err != nil {
		return nil, fmt.Errorf("remove the damaged search state: %w", err)
	}
	return s, s.open()
}

// open opens the file and looks through all of it.
func (s *store) open() error {
	return guard(func() (err error) {
		if info, statErr := os.Stat(s.path); statErr == nil && info.Size() > 4*s.maxBytes {
			return errors.New("it is far larger than --state-bytes")
		} else if statErr == nil && info.Size() > 0 {
			if err := s.check(info.Size()); err != nil {
				return err
			}
		}
		if s.db, err = bolt.Open(s.path, 0o600, &bolt.Options{Timeout: lockTimeout}); err != nil {
			return err
		}
		if err = guard(func() error { return s.db.Update(s.prepare) }); err != nil && !errors.Is(err, errDamaged) {
			return errors.Join(err, s.close())
		}
		return err // a damaged file is not closed: that could wait for its own transaction forever
	})
}

// check looks through the pages of the file while nobody can write to it.
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

// prepare refuses what is of another version, and counts what is there.
func (s *store) prepare(tx *bolt.Tx) error {
	if err := tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
		if !bytes.Equal(name, bucketName) {
			return errors.New("it is of another version")
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

// load gives the records of a Viewer to use. Those that are damaged are left out.
func (s *store) load(viewer string, names func(string) string, use func(runID string, r *Record)) error {
	return guard(func() error {
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

// stored is a record to be written, or to be deleted if it is nil.
type stored struct {
	viewer, runID string
	record        *Record
}

// save writes records in one transaction, and keeps the bound.
func (s *store) save(records []stored, now time.Time) error {
	return guard(func() error {
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

// dropOldest deletes records until so many bytes are free, those first that were read the
// longest time ago.
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
	return guard(db.Close)
}

// guard makes an error of a panic, and of reading memory that is not there: that is what a
// damaged file, or one that was cut, leads to.
func guard(work func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	return work()
}

// errDamaged says that the file is not what bbolt has written.
var errDamaged = errors.New("the file is damaged")

func compareText(a, b string) int { return strings.Compare(a, b) }
