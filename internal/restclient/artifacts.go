package restclient

import (
	"context"
	"net/url"
	"strconv"
	"strings"
)

// Only 0.5 has artifacts: named, typed, versioned things that runs make and
// use. Where the Viewer gives absolute paths of its machine they are not
// decoded, so they cannot leave this package.

// Artifact is an artifact as the list has it.
type Artifact struct {
	Name          Text `json:"name"`
	Type          Text `json:"type"`
	Versions      Int  `json:"num_versions"`
	LatestVersion Int  `json:"latest_version"`
	// Size is that of the latest version, in bytes.
	Size        Int  `json:"size_bytes"`
	CreatedTime Time `json:"created_at"`
	UpdatedTime Time `json:"updated_at"`
	// Aliases are the truth about which version an alias names. The details
	// of old versions keep aliases that have moved on.
	Aliases map[string]Int `json:"aliases"`
}

// ArtifactVersion is one version of an artifact. The list of versions leaves
// out what is marked with "detail".
type ArtifactVersion struct {
	TextQuality
	Version        Int    `json:"version"`
	CreatedTime    Time   `json:"created_at"`
	UpdatedTime    Time   `json:"updated_at"` // detail
	CreatedByRun   Text   `json:"created_by_run"`
	CreatedByUser  Text   `json:"created_by_user"` // detail
	Size           Int    `json:"size_bytes"`
	Files          Int    `json:"num_files"`
	References     Int    `json:"num_references"` // detail
	Status         Text   `json:"status"`
	Metadata       Values `json:"metadata"`        // detail
	Description    Text   `json:"description"`     // detail
	Tags           Texts  `json:"tags"`            // detail
	ManifestDigest Text   `json:"manifest_digest"` // detail
}

// VersionRef names one version of an artifact.
type VersionRef struct {
	Name string
	// Version counts from 1. The Viewer answers 500 to 0 and below, so such a
	// number is refused here.
	Version int64
	// Type tells artifacts of the same name apart; it may be empty.
	Type string
}

// call makes the call for a route of this version.
func (r VersionRef) call(name Capability) (call, error) {
	if r.Version < 1 {
		return call{}, &IDError{Field: "version", Reason: "must be at least 1"}
	}
	query, err := typeQuery(r.Type)
	return call{cap: name, ids: []string{r.Name, strconv.FormatInt(r.Version, 10)}, query: query}, err
}

// typeQuery makes the query that filters by type. The Viewer makes a folder
// of the type, so it is checked like an id.
func typeQuery(artifactType string) (url.Values, error) {
	if artifactType == "" {
		return url.Values{}, nil
	}
	return url.Values{"type": {artifactType}}, CheckID("type", artifactType)
}

// Artifacts lists the artifacts of a type, all where it is empty, and says
// whether text was lossy. An unknown type has none.
//
//viewer:operation GET /api/artifacts 0.5
func (c *Client) Artifacts(ctx context.Context, artifactType string) (items []Artifact, lossy bool, err error) {
	query, err := typeQuery(artifactType)
	if err != nil {
		return nil, false, err
	}
	return readList[Artifact](ctx, c, call{cap: capArtifacts, query: query})
}

// ArtifactVersions lists the versions of an artifact, the oldest first, and
// says whether text was lossy.
//
//viewer:operation GET /api/artifacts/{artifact}/versions 0.5
func (c *Client) ArtifactVersions(ctx context.Context, name, artifactType string) (items []ArtifactVersion, lossy bool, err error) {
	query, err := typeQuery(artifactType)
	if err != nil {
		return nil, false, err
	}
	return readList[ArtifactVersion](ctx, c, call{cap: capVersions, ids: []string{name}, query: query})
}

// ArtifactVersion reads one version. Of a version that was promoted the error is
// Promoted.
//
//viewer:operation GET /api/artifacts/{artifact}/v{version} 0.5
func (c *Client) ArtifactVersion(ctx context.Context, ref VersionRef) (*ArtifactVersion, error) {
	q, err := ref.call(capVersion)
	if err != nil {
		return nil, err
	}
	return readJSON[ArtifactVersion](ctx, c, q)
}

// isPromotedText recognises how 0.5.3 answers for a version that was promoted:
// 500, "ArtifactMetadata.__init__() got an unexpected keyword argument
// 'lifecycle_stage'". Promoting writes a field into the version's file that its
// own reader does not know.
func isPromotedText(text string) bool {
	return strings.Contains(text, "unexpected keyword argument")
}

// ArtifactStats counts all artifacts and what they take.
type ArtifactStats struct {
	TextQuality
	Artifacts Int `json:"total_artifacts"`
	Versions  Int `json:"total_versions"`
	Size      Int `json:"total_size_bytes"`
	// Files stays 0 in 0.5.3, whatever there is.
	Files        Int  `json:"total_files"`
	Deduplicated bool `json:"dedup_enabled"`
	PoolSize     Int  `json:"dedup_pool_size_bytes"`
	SavedSize    Int  `json:"space_saved_bytes"`
	ByType       map[string]struct {
		Artifacts Int `json:"count"`
		Versions  Int `json:"versions"`
		Size      Int `json:"size_bytes"`
	} `json:"by_type"`
}

// ArtifactStats reads the totals, for which the Viewer walks all artifacts.
//
//viewer:operation GET /api/artifacts/stats 0.5
func (c *Client) ArtifactStats(ctx context.Context) (*ArtifactStats, error) {
	return readJSON[ArtifactStats](ctx, c, call{cap: capArtifactStats})
}

// Promotion moves a version to another stage of its life.
type Promotion struct {
	// ToStage is experimental, staging, production or archived.
	ToStage        string `json:"to_stage"`
	Notes          string `json:"notes,omitempty"`
	EvaluatorRunID string `json:"evaluator_run_id,omitempty"`
}

// Promoted is the move that was made.
type Promoted struct {
	TextQuality
	OK        bool `json:"ok"`
	FromStage Text `json:"from_stage"`
	ToStage   Text `json:"to_stage"`
}

// PromoteVersion moves a version to another stage; a stage that is unknown or
// not the next one is KindBadRequest. The Viewer looks for the name among the
// models first, whatever type the reference has.
//
//viewer:operation POST /api/artifacts/{artifact}/v{version}/promote 0.5
func (c *Client) PromoteVersion(ctx context.Context, ref VersionRef, p Promotion) (*Promoted, error) {
	q, err := VersionRef{Name: ref.Name, Version: ref.Version}.call(capPromote)
	if err != nil {
		return nil, err
	}
	q.body = p
	answer, err := doJSON[Promoted](ctx, c, q)
	if err == nil && !answer.OK {
		return nil, c.refused(q, KindServer, "")
	}
	return answer, err
}

// DeleteVersion deletes a version. Unless permanent, 0.5.3 only writes a mark
// that none of its routes looks at: the version stays in every list, and can
// be read and deleted again.
//
//viewer:operation DELETE /api/artifacts/{artifact}/v{version} 0.5
func (c *Client) DeleteVersion(ctx context.Context, ref VersionRef, permanent bool) error {
	q, err := ref.call(capDeleteVersion)
	if err != nil {
		return err
	}
	if permanent {
		q.query.Set("permanent", "true")
	}
	answer, err := doJSON[struct {
		Success bool `json:"success"`
		Message Text `json:"message"`
	}](ctx, c, q)
	if err == nil && !answer.Success {
		return c.refused(q, KindServer, answer.Message.Value)
	}
	return err
}
