package node

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"penstock"
	"penstock/meta"
	"penstock/rocket"
)

// Found is the answer of /api/find: where records are, and not what they hold. Places of a key are those of records that have it and that readers may see, the
// newest first.
type Found struct {
	Places []FoundPlace `json:"places"`
}

// FoundPlace is one of them.
type FoundPlace struct {
	Topic     string          `json:"topic"`
	Partition int32           `json:"partition"`
	Offset    penstock.Offset `json:"offset"`
}

// maxFoundPlaces bounds an answer.
const maxFoundPlaces = 1000

// finder answers /api/find.
type finder func(q url.Values) (*Found, error)

// serveFind looks into the indexes. Its status is 400 for what cannot be asked, 404 for what does not exist, 501 where there is no index.
func (a *admin) serveFind(w http.ResponseWriter, r *http.Request) {
	find := a.finder.Load()
	if find == nil {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	found, err := (*find)(r.URL.Query())
	if err != nil {
		status := http.StatusInternalServerError
		switch {
		case errors.Is(err, errFindQuery):
			status = http.StatusBadRequest
		case errors.Is(err, penstock.ErrUnknownTopic), errors.Is(err, penstock.ErrUnknownTopicID), errors.Is(err, penstock.ErrOffsetOutOfRange):
			status = http.StatusNotFound
		case errors.Is(err, penstock.ErrUnsupported):
			status = http.StatusNotImplemented
		}
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(found) // the client is gone
}

var errFindQuery = errors.New("want topic and key, or position; from, to and limit are whole numbers")

// find answers one question: topic and key, with from and to in milliseconds, or a position.
func (n *Node) find(q url.Values) (*Found, error) {
	out := &Found{Places: []FoundPlace{}}
	number := func(name string, otherwise int64) (int64, bool) {
		if !q.Has(name) {
			return otherwise, true
		}
		v, err := strconv.ParseInt(q.Get(name), 10, 64)
		return v, err == nil
	}
	at, ok := number("position", -1)
	if ok && at >= 0 {
		if n.rocket != nil && rocket.OfRecord(penstock.Position(at)) {
			name, part, off, err := n.rocket.LocateRecord(penstock.Position(at), q.Get("topic"))
			out.Places = append(out.Places, FoundPlace{name, part, off})
			return out, err
		}
		id, off, err := n.stores.locate(penstock.Position(at))
		if err != nil {
			return nil, err
		}
		t := n.meta.Image().TopicByID(id.Topic)
		if t == nil {
			return nil, penstock.ErrUnknownTopicID
		}
		out.Places = append(out.Places, FoundPlace{t.Name, id.Partition, off})
		return out, nil
	}
	from, okFrom := number("from", 0)
	to, okTo := number("to", math.MaxInt64)
	limit, okLimit := number("limit", maxFoundPlaces)
	if !ok || !okFrom || !okTo || !okLimit || limit < 1 || q.Get("topic") == "" || q.Get("key") == "" {
		return nil, errFindQuery
	}
	t := n.meta.Image().Topic(q.Get("topic"))
	if t == nil {
		return nil, penstock.ErrUnknownTopic
	}
	return out, n.findIn(t, q.Get("key"), penstock.Timestamp(from), penstock.Timestamp(to), int(min(limit, maxFoundPlaces)), out)
}

// findIn adds the places of a topic that the index has under a key.
func (n *Node) findIn(t *meta.Topic, key string, from, to penstock.Timestamp, limit int, out *Found) error {
	return n.findKey(t.ID, key, from, to, limit, func(id penstock.PartitionID, at penstock.Offset) bool {
		if p := n.replicas.Partition(id); p != nil && at >= p.Offsets().HighWatermark {
			return true // nobody may see it yet
		}
		out.Places = append(out.Places, FoundPlace{t.Name, id.Partition, at})
		return len(out.Places) < limit
	})
}
