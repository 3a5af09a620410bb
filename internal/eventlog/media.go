package eventlog

// Media is an image that a run has logged: one line of type "image".
//
// The parser reuses it like a Row; its strings may be kept.
type Media struct {
	// Position is the byte offset of the line in the event file.
	Position int64
	// Time is in Unix seconds, if HasTime.
	Time    float64
	HasTime bool
	// Step is set if HasStep: the SDK writes null if none was given.
	Step    int64
	HasStep bool
	// Key is the name under which the image was logged, "image" if it has none.
	Key string
	// Path is the file's path relative to the run's directory, unchecked.
	Path    string
	Caption string
}

// media reads the data of an image line, which is a valid JSON object.
func (p *Parser) media(data []byte) Media {
	media := Media{}
	var v value
	i, more := enter(data, 1, '}')
	for more {
		at := scanKey(data, i)
		end := p.value(data, at, &v)
		media.setMember(keyName(data[i:at]), &v)
		i, more = next(data, end, '}')
	}
	if media.Key == "" {
		media.Key = "image" // as Viewer 0.7.2 answers in its image list
	}
	media.Key, media.Caption = cutText(media.Key, MaxName), cutText(media.Caption, MaxText)
	return media
}

// setMember sets a field; the last of duplicate keys wins.
func (m *Media) setMember(key string, v *value) {
	text := ""
	if v.kind == jsonString {
		text = v.text
	}
	switch key {
	case "key":
		m.Key = text
	case "path":
		m.Path = text
	case "caption":
		m.Caption = text
	case "step":
		step := v.step()
		m.Step, m.HasStep = step.n, step.valid
	}
}
