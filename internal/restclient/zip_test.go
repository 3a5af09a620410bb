package restclient

import (
	"archive/zip"
	"bytes"
	"hash/crc32"
	"io"
	"testing"
)

// pythonZip returns a zip as Python's zipfile writes it: sizes before each entry.
func pythonZip(tb testing.TB, files ...string) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		content := []byte(files[i+1])
		var packed bytes.Buffer
		method := zip.Store
		if packed.Write(content); i%4 == 0 {
			method = zip.Deflate
			packed.Reset()
			packed.Write(deflated(tb, content))
		}
		e, err := w.CreateRaw(&zip.FileHeader{
			Name: files[i], Method: method, CRC32: crc32.ChecksumIEEE(content),
			CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(len(content)),
		})
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := e.Write(packed.Bytes()); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func deflated(tb testing.TB, content []byte) []byte {
	tb.Helper()
	var whole bytes.Buffer
	w := zip.NewWriter(&whole)
	e, err := w.Create("x")
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := e.Write(content); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(whole.Bytes()), int64(whole.Len()))
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := r.File[0].OpenRaw()
	if err != nil {
		tb.Fatal(err)
	}
	packed, err := io.ReadAll(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return packed
}

func readZip(text []byte) (map[string]string, error) {
	z, out := newZipReader(bytes.NewReader(text)), map[string]string{}
	for {
		e, err := z.next()
		if err == io.EOF { //nolint:errorlint // next returns it itself
			return out, nil
		}
		if err != nil {
			return out, err
		}
		content, err := io.ReadAll(e)
		if err != nil {
			return out, err
		}
		out[e.Name] = string(content)
	}
}

func TestZip_ReadsAStream(t *testing.T) {
	want := map[string]string{"a/x": string(bytes.Repeat([]byte("hello "), 50_000)), "b/y": "stored", "c": "", "d": "again"}
	got, err := readZip(pythonZip(t, "a/x", want["a/x"], "b/y", "stored", "c", "", "d", "again"))
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s: %d bytes, want %d", name, len(got[name]), len(content))
		}
	}
}

func TestZip_EntriesMayBeSkipped(t *testing.T) {
	z := newZipReader(bytes.NewReader(pythonZip(t, "a", "long enough", "b", "other")))
	for _, want := range []string{"a", "b"} {
		if e, err := z.next(); err != nil || e.Name != want {
			t.Fatalf("got %v, %v", e, err)
		}
	}
	if _, err := z.next(); err != io.EOF { //nolint:errorlint // itself
		t.Errorf("got %v", err)
	}
}

// FuzzZip checks for panics and endless loops.
func FuzzZip(f *testing.F) {
	whole := pythonZip(f, "a", "some text that is packed", "b", "stored")
	f.Add(whole)
	f.Add(whole[:40])
	f.Fuzz(func(_ *testing.T, text []byte) {
		_, _ = readZip(text)
	})
}

func TestZip_DetectsDamage(t *testing.T) {
	whole := pythonZip(t, "a", "some text that is packed", "b", "stored")
	body := bytes.Index(whole, []byte("PK\x01\x02"))
	for i := range body {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x10
		got, err := readZip(damaged)
		if err == nil && (len(got) != 2 || got["a"] != "some text that is packed" || got["b"] != "stored") {
			t.Errorf("byte %d: got %q without an error", i, got)
		}
	}
	for n := range whole[:body] {
		if _, err := readZip(whole[:n]); err == nil {
			t.Errorf("cut at %d: no error", n)
		}
	}
}
