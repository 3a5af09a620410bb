package eventlog

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.events.jsonl")
	if err != nil || len(files) == 0 {
		f.Fatal("no event files in testdata", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content, uint16(100))
		for line := range bytes.Lines(content) {
			if len(line) < 1000 {
				f.Add(line, uint16(len(line)/2))
			}
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, chunk uint16) {
		whole := parseAll(t, file)
		if diff := gocmp.Diff(reference(file), whole, same); diff != "" {
			t.Errorf("reference and Parser differ (-reference +Parser):\n%s", diff)
		}
		var p Parser
		var chunked recorded
		feed(t, &p, file, int(chunk)+1, chunked.handler())
		chunked.Counts = p.Counts()
		if diff := gocmp.Diff(whole, chunked, same); diff != "" {
			t.Errorf("chunks of %d change something (-whole +chunked):\n%s", int(chunk)+1, diff)
		}
		if _, err := p.Finish(file, 0, Handler{}); err != nil {
			t.Errorf("Finish: %v", err)
		}
	})
}

func FuzzNumber(f *testing.F) {
	for _, text := range []string{
		"0", "-0", "0.0", "-0.0", "1.5", "0.0004714757190004715", "4.7e-05", "1795446718.8581195", "5e-324", "2.2250738585072011e-308",
		"1.7976931348623157e+308", "1e400", "9007199254740993", "9007199254740993.0", "18446744073709551615", "18446744073709551616",
		"0.9999999999999999999", "1234567890123456789e-27", "1234567890123456789e-28", "1e-00005", "0e99999", "0.00000000000000000000000000001",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return
		}
		var v value
		if v.number([]byte(text), 0) != len(text) {
			return
		}
		want, _ := strconv.ParseFloat(text, 64)
		if v.kind == jsonInt && want == 0 {
			want = 0 // integers have no negative zero
		}
		if math.Float64bits(v.num) != math.Float64bits(want) {
			t.Errorf("%s is %v, want %v", text, v.num, want)
		}
	})
}

func TestNumber_MatchesStrconv(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		f := math.Float64frombits(random.Uint64())
		if f-f != 0 {
			continue
		}
		for _, text := range []string{
			strconv.FormatFloat(f, 'g', 1+random.IntN(19), 64),
			strconv.FormatFloat(random.NormFloat64()*math.Pow(10, float64(random.IntN(30)-15)), 'f', random.IntN(25), 64),
			strconv.FormatUint(random.Uint64(), 10) + "e-" + strconv.Itoa(random.IntN(30)),
		} {
			var v value
			want, _ := strconv.ParseFloat(text, 64) // out of range is an infinity
			if end := v.number([]byte(text), 0); end != len(text) || v.num != want {
				t.Fatalf("%s is %v, want %v", text, v.num, want)
			}
		}
	}
}
