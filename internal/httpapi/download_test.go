package httpapi

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

type downloadStream = grpc.ServerStreamingServer[runicornapiv1.DownloadAssetResponse]

const downloadPath = "/v1/experiments/r1/assets/a1:download"

// parts returns the messages of a file.
func headerPart(h *runicornapiv1.FileHeader) *runicornapiv1.DownloadAssetResponse {
	return &runicornapiv1.DownloadAssetResponse{Part: &runicornapiv1.DownloadAssetResponse_Header{Header: h}}
}

func chunkPart(text string) *runicornapiv1.DownloadAssetResponse {
	return &runicornapiv1.DownloadAssetResponse{Part: &runicornapiv1.DownloadAssetResponse_Chunk{Chunk: []byte(text)}}
}

func trailerPart(size int64) *runicornapiv1.DownloadAssetResponse {
	return &runicornapiv1.DownloadAssetResponse{Part: &runicornapiv1.DownloadAssetResponse_Trailer{
		Trailer: &runicornapiv1.FileTrailer{SizeBytes: size},
	}}
}

// sending answers a download with messages, and ends it with err.
func sending(err error, parts ...*runicornapiv1.DownloadAssetResponse) func(*runicornapiv1.DownloadAssetRequest, downloadStream) error {
	return func(_ *runicornapiv1.DownloadAssetRequest, stream downloadStream) error {
		for _, p := range parts {
			if err := stream.Send(p); err != nil {
				return err
			}
		}
		return err
	}
}

// sized is the header of a file of ten bytes.
func sized(offset int64) *runicornapiv1.FileHeader {
	return &runicornapiv1.FileHeader{
		FileName: "model.pt", ContentType: "application/octet-stream", SizeBytes: new(int64(10)), Etag: "e1", Offset: offset,
	}
}

// asset serves "0123456789" with the etag e1, as the gRPC server does.
func asset(req *runicornapiv1.DownloadAssetRequest, stream downloadStream) error {
	if m := req.GetIfMatch(); m != "" && m != "e1" && m != "*" || req.GetOffset() > 10 {
		return newAPIError(http.StatusConflict, codes.Aborted, runicornapiv1.ErrorReason_ERROR_REASON_ETAG_MISMATCH, "another file", nil).st.Err()
	}
	rest := "0123456789"[req.GetOffset():]
	parts := []*runicornapiv1.DownloadAssetResponse{headerPart(sized(req.GetOffset()))}
	for len(rest) > 0 {
		n := min(3, len(rest))
		parts = append(parts, chunkPart(rest[:n]))
		rest = rest[n:]
	}
	return sending(nil, append(parts, trailerPart(10))...)(req, stream)
}

func TestDownload_TheFileItself(t *testing.T) {
	b := &backend{}
	b.download = asset
	srv := serve(t, b)
	for _, tt := range []struct {
		name                  string
		query                 string
		header                map[string]string
		status                int
		body, rng, wantLength string
	}{
		{"whole", "", nil, 200, "0123456789", "", "10"},
		{"by the fields of the contract", "?offset=4&if_match=e1", nil, 206, "456789", "bytes 4-9/10", "6"},
		{"by Range and If-Range", "", map[string]string{"Range": "bytes=7-", "If-Range": `"e1"`}, 206, "789", "bytes 7-9/10", "3"},
		{"the file has changed since", "", map[string]string{"Range": "bytes=7-", "If-Range": `"e0"`}, 200, "0123456789", "", "10"},
		{"by Range alone, of the file as it is", "", map[string]string{"Range": "bytes=7-"}, 206, "789", "bytes 7-9/10", "3"},
		{"a weak ETag proves nothing", "", map[string]string{"Range": "bytes=7-", "If-Range": `W/"e1"`}, 200, "0123456789", "", "10"},
		{"a date proves nothing", "", map[string]string{"Range": "bytes=7-", "If-Range": "Sat, 28 Nov 2026 03:00:00 GMT"}, 200, "0123456789", "", "10"},
		{"a range with an end", "", map[string]string{"Range": "bytes=2-7", "If-Range": `"e1"`}, 206, "234567", "bytes 2-7/10", "6"},
		{"a range whose end is beyond the file's", "", map[string]string{"Range": "bytes=2-70"}, 206, "23456789", "bytes 2-9/10", "8"},
		{"the first byte", "", map[string]string{"Range": "bytes=0-0"}, 206, "0", "bytes 0-0/10", "1"},
		{"the last bytes", "", map[string]string{"Range": "bytes=-4"}, 206, "6789", "bytes 6-9/10", "4"},
		{"more last bytes than there are", "", map[string]string{"Range": "bytes=-40"}, 206, "0123456789", "bytes 0-9/10", "10"},
		{"several ranges are not served", "", map[string]string{"Range": "bytes=1-,7-", "If-Range": `"e1"`}, 200, "0123456789", "", "10"},
		{"a range that is none", "", map[string]string{"Range": "bytes=7-3"}, 200, "0123456789", "", "10"},
		{"a range from the beginning", "", map[string]string{"Range": "bytes=0-", "If-Range": `"e1"`}, 206, "0123456789", "bytes 0-9/10", "10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := do(t, srv, request{path: downloadPath + tt.query, header: tt.header})
			if got.status != tt.status || got.body != tt.body {
				t.Errorf("%d %q, want %d %q", got.status, got.body, tt.status, tt.body)
			}
			for key, want := range map[string]string{
				"Content-Range": tt.rng, "Content-Length": tt.wantLength, "ETag": `"e1"`, "Accept-Ranges": "bytes",
				"Content-Disposition": `attachment; filename="model.pt"`, "X-Content-Type-Options": "nosniff",
				"Content-Type": "application/octet-stream", "Cache-Control": "no-store",
			} {
				if have := got.header.Get(key); have != want {
					t.Errorf("%s: %q, want %q", key, have, want)
				}
			}
		})
	}
}

func TestDownload_AtItsEndThereIsNoRange(t *testing.T) {
	b := &backend{}
	b.download = asset
	srv := serve(t, b)
	for _, header := range []map[string]string{
		{"Range": "bytes=10-", "If-Range": `"e1"`}, {"Range": "bytes=10-"}, {"Range": "bytes=11-20"}, {"Range": "bytes=-0"},
	} {
		got := do(t, srv, request{path: downloadPath, header: header})
		if e := errorOf(t, got); got.status != http.StatusRequestedRangeNotSatisfiable || e.Status != "OUT_OF_RANGE" || got.header.Get("Content-Range") != "bytes */10" {
			t.Errorf("%v: %d %q %+v", header, got.status, got.header.Get("Content-Range"), e)
		}
	}
}

func TestDownload_AnErrorBeforeTheFirstByteIsTheUsualJSON(t *testing.T) {
	notFound := newAPIError(0, codes.NotFound, runicornapiv1.ErrorReason_ERROR_REASON_ASSET_NOT_FOUND, "no such asset", nil).st.Err()
	for _, tt := range []struct {
		name   string
		answer func(*runicornapiv1.DownloadAssetRequest, downloadStream) error
		status int
		reason string
	}{
		{"at once", sending(notFound), 404, "ASSET_NOT_FOUND"},
		{"behind the header", sending(notFound, headerPart(sized(0))), 404, "ASSET_NOT_FOUND"},
		{"no message at all", sending(nil), 500, "INTERNAL_ERROR"},
		{"no header", sending(nil, chunkPart("x")), 500, "INTERNAL_ERROR"},
		{"a header and no trailer", sending(nil, headerPart(sized(0))), 500, "INTERNAL_ERROR"},
		{"an empty message", sending(nil, &runicornapiv1.DownloadAssetResponse{}), 500, "INTERNAL_ERROR"},
		{"resumed without a size", sending(nil, headerPart(&runicornapiv1.FileHeader{Offset: 3}), chunkPart("x")), 500, "INTERNAL_ERROR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &backend{}
			b.download = tt.answer
			got := do(t, serve(t, b), request{path: downloadPath})
			if e := errorOf(t, got); got.status != tt.status || e.Reason != tt.reason {
				t.Errorf("%d %+v", got.status, e)
			}
			if got.header.Get("Content-Disposition") != "" {
				t.Error("an error is offered as a file")
			}
		})
	}
}

// TestDownload_AFailureInTheMiddleAborts: after any failure behind the first byte, no
// client may take what it has received for the file.
func TestDownload_AFailureInTheMiddleAborts(t *testing.T) {
	unsized := &runicornapiv1.FileHeader{FileName: "x.zip", ContentType: "application/zip"}
	big := strings.Repeat("x", 100_000)
	for _, tt := range []struct {
		name   string
		answer func(*runicornapiv1.DownloadAssetRequest, downloadStream) error
	}{
		{"the Viewer died", sending(status.Error(codes.DataLoss, "cut"), headerPart(sized(0)), chunkPart("0123"))},
		{"of a file of unknown size", sending(status.Error(codes.DataLoss, "cut"), headerPart(unsized), chunkPart(big))},
		{"after its last byte", sending(status.Error(codes.DataLoss, "cut"), headerPart(sized(0)), chunkPart("0123456789"))},
		{"no trailer", sending(nil, headerPart(unsized), chunkPart(big))},
		{"a trailer of another size", sending(nil, headerPart(unsized), chunkPart(big), trailerPart(5))},
		{"an error behind the trailer", sending(status.Error(codes.Internal, "late"), headerPart(unsized), chunkPart(big), trailerPart(100_000))},
		{"something behind the trailer", sending(nil, headerPart(unsized), chunkPart(big), trailerPart(100_000), chunkPart("x"))},
		{"a second header", sending(nil, headerPart(unsized), chunkPart(big), headerPart(unsized), trailerPart(100_000))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &backend{}
			b.download = tt.answer
			srv := serve(t, b)
			resp, err := srv.Client().Get(srv.URL + downloadPath)
			if err != nil {
				return // cut before the headers left the buffer
			}
			body, err := io.ReadAll(resp.Body)
			if closeErr := resp.Body.Close(); closeErr != nil {
				t.Error(closeErr)
			}
			if err == nil {
				t.Errorf("it looks whole: %d bytes", len(body))
			}
		})
	}
}

func TestDownload_AFileOfUnknownSizeOrWithoutBytes(t *testing.T) {
	b := &backend{}
	unsized := &runicornapiv1.FileHeader{FileName: "x.zip", ContentType: "application/zip", Limitations: []string{"no ümlauts\n"}}
	b.download = sending(nil, headerPart(unsized), chunkPart("PK"), trailerPart(2))
	srv := serve(t, b)
	got := do(t, srv, request{path: downloadPath})
	if got.status != 200 || got.body != "PK" || got.header.Get("ETag") != "" || got.header.Get("Runicorn-Limitation") != "no ?mlauts?" {
		t.Errorf("%d %q %v", got.status, got.body, got.header)
	}
	b.download = sending(nil, headerPart(&runicornapiv1.FileHeader{FileName: "e", SizeBytes: new(int64(0))}), trailerPart(0))
	if got := do(t, srv, request{path: downloadPath}); got.status != 200 || got.body != "" || got.header.Get("Content-Length") != "0" {
		t.Errorf("%d %q %v", got.status, got.body, got.header)
	}
}

func TestDownload_IsACallLikeOthers(t *testing.T) {
	b := &backend{}
	b.download = asset
	srv := serve(t, b, func(c *Config) { c.Conn = NewConn(c.Conn, 1, 1) })
	got := do(t, srv, request{
		path: "/v1/viewers/v7/experiments/r1/assets/a1:download", header: map[string]string{"Authorization": "Bearer x"},
	})
	calls := b.seen()
	if got.status != 200 || len(calls) != 1 {
		t.Fatalf("%d, %d calls", got.status, len(calls))
	}
	req, ok := calls[0].req.(*runicornapiv1.DownloadAssetRequest)
	if !ok || req.GetViewer() != "v7" || req.GetRunId() != "r1" || req.GetAssetId() != "a1" {
		t.Errorf("request %v", calls[0].req)
	}
	if md := calls[0].md.Get("authorization"); len(md) != 1 || md[0] != "Bearer x" {
		t.Errorf("metadata %v", calls[0].md)
	}
	for _, path := range []string{
		"/v1/experiments/r1/assets/a1:download?nonsense=1", "/v1/experiments/r1/assets/a%2Fb:download",
		"/v1/experiments/r1/assets/a%252Fb:download", downloadPath + "?offset=x",
	} {
		if got := do(t, srv, request{path: path}); got.status != 400 || len(b.seen()) != 0 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

func TestDisposition_IsSafe(t *testing.T) {
	for name, want := range map[string]string{
		"a b.csv":         `attachment; filename="a b.csv"`,
		`a"b\c%41.csv`:    `attachment; filename="a_b_c_41.csv"; filename*=UTF-8''a%22b%5Cc%2541.csv`,
		"модель.pt":       `attachment; filename="______.pt"; filename*=UTF-8''%D0%BC%D0%BE%D0%B4%D0%B5%D0%BB%D1%8C.pt`,
		"a\r\nSet-Cookie": `attachment; filename="a__Set-Cookie"; filename*=UTF-8''a%0D%0ASet-Cookie`,
	} {
		if got := disposition(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// TestDownload_HEAD: HEAD returns the headers of GET without a body; a file without size
// and etag reports that it has no ranges.
func TestDownload_HEAD(t *testing.T) {
	b := &backend{}
	b.download = asset
	srv := serve(t, b)
	got := do(t, srv, request{method: http.MethodHead, path: downloadPath, header: map[string]string{"Range": "bytes=2-3"}})
	if got.status != http.StatusOK || got.body != "" || got.header.Get("Content-Length") != "10" || got.header.Get("ETag") != `"e1"` || got.header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("%d %q %v", got.status, got.body, got.header)
	}
	b.download = sending(nil, headerPart(&runicornapiv1.FileHeader{FileName: "live.csv"}), chunkPart("abc"), trailerPart(3))
	for method, body := range map[string]string{http.MethodHead: "", http.MethodGet: "abc"} {
		got = do(t, srv, request{method: method, path: downloadPath, header: map[string]string{"Range": "bytes=1-"}})
		if got.status != http.StatusOK || got.body != body || got.header.Get("Accept-Ranges") != "none" || got.header.Get("ETag") != "" {
			t.Errorf("%s of a file that grows: %d %q %v", method, got.status, got.body, got.header)
		}
	}
}
