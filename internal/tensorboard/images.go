package tensorboard

import (
	"cmp"
	"context"
	"slices"

	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// images are the images of runs; those with the same key and step form one blob sequence.
var images = &plugin{
	name:      pluginImages,
	known:     knownImages,
	hasPoints: func(numPoints int) bool { return numPoints == 0 },
	read:      readImages,
}

// placeholders is the number of blobs before the images of a sequence: width and height,
// which TensorBoard's own sequences have and no dashboard reads.
const placeholders = 2

// ListBlobSequences lists the keys of images.
func (s *Server) ListBlobSequences(ctx context.Context, req *tensorboardpb.ListBlobSequencesRequest) (*tensorboardpb.ListBlobSequencesResponse, error) {
	return respond(ctx, s, images, req, func(runs []runTags) *tensorboardpb.ListBlobSequencesResponse {
		out, about := &tensorboardpb.ListBlobSequencesResponse{}, summary(pluginImages, tensorboardpb.DataClass_DATA_CLASS_BLOB_SEQUENCE, nil)
		for _, r := range runs {
			entry := &tensorboardpb.BlobSequenceRunEntry{RunName: r.name}
			for i := range r.tags {
				t := &r.tags[i]
				entry.Tags = append(entry.Tags, &tensorboardpb.BlobSequenceTagEntry{TagName: t.name, Metadata: &tensorboardpb.BlobSequenceMetadata{
					MaxStep: t.step, MaxWallTime: t.time, MaxLength: t.maxLength, SummaryMetadata: about,
				}})
			}
			out.Runs = append(out.Runs, entry)
		}
		return out
	})
}

// ReadBlobSequences returns the blob keys of images.
func (s *Server) ReadBlobSequences(ctx context.Context, req *tensorboardpb.ReadBlobSequencesRequest) (*tensorboardpb.ReadBlobSequencesResponse, error) {
	return respond(ctx, s, images, req, func(runs []runTags) *tensorboardpb.ReadBlobSequencesResponse {
		out := &tensorboardpb.ReadBlobSequencesResponse{}
		for _, r := range runs {
			data := &tensorboardpb.BlobSequenceRunData{RunName: r.name}
			for i := range r.tags {
				sequences := cmp.Or(r.tags[i].blobs, &tensorboardpb.BlobSequenceData{})
				data.Tags = append(data.Tags, &tensorboardpb.BlobSequenceTagData{TagName: r.tags[i].name, Data: sequences})
			}
			out.Runs = append(out.Runs, data)
		}
		return out
	})
}

// knownImages makes the tags of a search record.
func knownImages(r *run, rec *search.Record) (tags []tag) {
	for _, i := range rec.Images() {
		tags = append(tags, tag{
			name: convert.Text(i.Key), step: i.Last.Step, time: timeOr(i.Last.Time, r), maxLength: i.MaxPerStep + placeholders,
		})
	}
	return tags
}

// sequence is the images of one key and step.
type sequence struct {
	step  int64
	time  float64
	paths []restclient.RunFile
}

// readImages makes the tags of a parsed run. Each has the newest sequence, and others at
// equal distances.
func readImages(v *runcache.View, r *run, numPoints int, _ names) (tags []tag, isPartial bool, err error) {
	for key, sequences := range sequencesOf(v.Images, r) {
		newest := &sequences[len(sequences)-1]
		t := tag{name: convert.Text(key), step: newest.step, time: newest.time, blobs: &tensorboardpb.BlobSequenceData{}}
		for i := range sequences {
			t.maxLength = max(t.maxLength, int64(len(sequences[i].paths)+placeholders))
		}
		for n := min(numPoints, len(sequences)); n > 0; n-- {
			t.addImages(&sequences[len(sequences)-1-(n-1)*len(sequences)/min(numPoints, len(sequences))], r)
		}
		tags = append(tags, t)
	}
	return tags, false, nil
}

// sequencesOf groups images by key and step. Images whose path is outside the run's folder
// are omitted.
func sequencesOf(all []eventlog.Media, r *run) map[string][]sequence {
	byKey, counts := map[string][]sequence{}, map[string]int64{}
	for i := range all {
		m := &all[i]
		step := search.ImageStep(m, counts[m.Key])
		counts[m.Key]++
		file, err := restclient.MediaFile(m.Path)
		if err != nil {
			continue
		}
		of := byKey[m.Key]
		at, found := slices.BinarySearchFunc(of, step, func(s sequence, step int64) int { return cmp.Compare(s.step, step) })
		if !found {
			of = slices.Insert(of, at, sequence{step: step})
		}
		of[at].paths = append(of[at].paths, file)
		if of[at].time = r.created(); m.HasTime {
			of[at].time = m.Time
		}
		byKey[m.Key] = of
	}
	return byKey
}

func (t *tag) addImages(s *sequence, r *run) {
	out := &tensorboardpb.BlobSequence{}
	for range placeholders {
		out.BlobRefs = append(out.BlobRefs, &tensorboardpb.BlobReference{BlobKey: "size"})
	}
	for _, path := range s.paths {
		out.BlobRefs = append(out.BlobRefs, &tensorboardpb.BlobReference{BlobKey: blobKey(r.Viewer.Name, r.Listed.ID, path)})
	}
	t.blobs.Step = append(t.blobs.Step, s.step)
	t.blobs.WallTime = append(t.blobs.WallTime, s.time)
	t.blobs.Values = append(t.blobs.Values, out)
}
