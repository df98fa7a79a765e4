package main

// An in-memory LiteLLM that answers at once: the part of the admin API that the operator uses, with rows as large as those
// of LiteLLM 1.106.2. It does nothing else: it enforces no budgets, serves no models, and its keys are gone when it ends.

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	pageSize     = 100 // the largest page of /key/list
	gzipAtLeast  = 500 // bytes, as LiteLLM's own middleware
	journalCalls = 20000
)

type object = map[string]any

// keyRow is a virtual key. Its JSON is cached until a field changes.
type keyRow struct {
	token  string
	fields object
	text   json.RawMessage
}

// call is one request in the journal.
type call struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Query  string          `json:"query,omitempty"`
	Own    bool            `json:"own,omitempty"` // with a virtual key, not with the master key
	Body   json.RawMessage `json:"body,omitempty"`
}

type proxy struct {
	master  string
	lock    sync.Mutex
	rows    map[string]*keyRow
	order   []string // tokens, oldest first
	aliases map[string]string
	counts  map[string]int
	journal []call
	hanging chan struct{} // while it hangs: closed when it answers again
}

// failure is an error response.
type failure struct {
	status        int
	kind, message string
}

func serveProxy(address, master string) error {
	p := &proxy{master: master, rows: map[string]*keyRow{}, aliases: map[string]string{}, counts: map[string]int{}}
	server := &http.Server{Addr: address, Handler: p, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

func tokenOf(key string) string {
	if !strings.HasPrefix(key, "sk-") {
		return key // already a token
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/bench/") {
		p.control(w, r)
		return
	}
	var body json.RawMessage
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			body = nil
		}
	}
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.lock.Lock()
	if hanging := p.hanging; hanging != nil {
		p.lock.Unlock()
		hang(r, hanging)
	}
	answer, failed := p.answer(r, bearer, body)
	status := http.StatusOK
	if failed != nil {
		status = failed.status
		answer = object{"error": object{"message": failed.message, "type": failed.kind, "param": nil, "code": strconv.Itoa(status)}}
	}
	text, err := json.Marshal(answer)
	p.counts[fmt.Sprintf("%s %s %d", r.Method, r.URL.Path, status)]++
	if len(p.journal) < journalCalls {
		own := strings.HasPrefix(bearer, "sk-") && bearer != p.master
		p.journal = append(p.journal, call{r.Method, r.URL.Path, r.URL.RawQuery, own, body})
	}
	p.lock.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	respond(w, r, status, text)
}

var compressors = sync.Pool{New: func() any { made, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed); return made }}

func respond(w http.ResponseWriter, r *http.Request, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	if len(text) < gzipAtLeast || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.WriteHeader(status)
		_, _ = w.Write(text)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	compressor := compressors.Get().(*gzip.Writer)
	compressor.Reset(w)
	_, _ = compressor.Write(text)
	_ = compressor.Close()
	compressors.Put(compressor)
}

func (p *proxy) answer(r *http.Request, bearer string, body json.RawMessage) (any, *failure) {
	switch r.URL.Path {
	case "/health/liveliness":
		return "I'm alive!", nil
	case "/health/readiness":
		return object{"status": "healthy", "db": "connected"}, nil
	}
	if bearer != p.master {
		row := p.rows[tokenOf(bearer)]
		if row == nil || row.isBlocked() || row.isOver() {
			return nil, &failure{http.StatusUnauthorized, "token_not_found_in_db", "Authentication Error, Invalid proxy server token passed."}
		}
		if r.URL.Path != "/key/info" {
			return nil, &failure{http.StatusForbidden, "auth_error", "Only the proxy's administrator may do this."}
		}
		return object{"key": row.token, "info": row.info()}, nil
	}
	var given object
	if body != nil {
		if err := json.Unmarshal(body, &given); err != nil {
			return nil, &failure{http.StatusUnprocessableEntity, "bad_request_error", "The body is no JSON object."}
		}
	}
	switch r.URL.Path {
	case "/health/readiness/details":
		return object{"status": "healthy", "db": "connected", "cache": nil, "litellm_version": litellmVersion}, nil
	case "/v1/models":
		return object{"data": []object{{"id": modelName, "object": "model"}}, "object": "list"}, nil
	case "/model/info":
		return object{"data": []object{modelInfo()}}, nil
	case "/key/list":
		return p.list(r), nil
	case "/key/generate":
		return p.generate(given)
	case "/key/info":
		row := p.rows[tokenOf(r.URL.Query().Get("key"))]
		if row == nil {
			return nil, &failure{http.StatusNotFound, "not_found_error", "Key not found in database"}
		}
		return object{"key": row.token, "info": row.info()}, nil
	case "/key/update", "/key/block", "/key/unblock":
		return p.change(r.URL.Path, given)
	case "/key/delete":
		return p.remove(given)
	}
	return nil, &failure{http.StatusNotFound, "not_found_error", "Not Found"}
}

func (p *proxy) list(r *http.Request) any {
	query := r.URL.Query()
	tokens := p.order
	if alias := query.Get("key_alias"); alias != "" {
		tokens = nil
		if token, found := p.aliases[alias]; found {
			tokens = []string{token}
		}
	}
	size, page := number(query.Get("size"), 10), number(query.Get("page"), 1)
	size = min(size, pageSize)
	first := min((page-1)*size, len(tokens))
	shown := make([]json.RawMessage, 0, size)
	for _, token := range tokens[first:min(first+size, len(tokens))] {
		shown = append(shown, p.rows[token].listed())
	}
	pages := (len(tokens) + size - 1) / size
	return object{"keys": shown, "total_count": len(tokens), "current_page": page, "total_pages": pages}
}

func (p *proxy) generate(given object) (any, *failure) {
	key, _ := given["key"].(string)
	alias, _ := given["key_alias"].(string)
	if len(key) < 16 || !strings.HasPrefix(key, "sk-") {
		return nil, &failure{http.StatusBadRequest, "bad_request_error", "The key must be given: sk-…"}
	}
	token := tokenOf(key)
	if owner, taken := p.aliases[alias]; taken && owner != token {
		return nil, &failure{http.StatusBadRequest, "bad_request_error", fmt.Sprintf("Key with alias '%s' already exists.", alias)}
	}
	now := time.Now().UTC().Format(timeFormat)
	fields := defaultRow()
	fields["token"], fields["key_name"] = token, "sk-..."+key[len(key)-4:]
	fields["created_at"], fields["updated_at"] = now, now
	row := &keyRow{token: token, fields: fields}
	row.take(given)
	if p.rows[token] == nil {
		p.order = append(p.order, token)
	}
	p.rows[token] = row
	if alias != "" {
		p.aliases[alias] = token
	}
	answer := generated()
	for name := range answer {
		if value, found := row.fields[name]; found {
			answer[name] = value
		}
	}
	answer["key"], answer["token_id"], answer["token"] = key, token, token
	return answer, nil
}

func (p *proxy) change(path string, given object) (any, *failure) {
	key, _ := given["key"].(string)
	row := p.rows[tokenOf(key)]
	if row == nil {
		return nil, &failure{http.StatusNotFound, "not_found_error", "Key not found."}
	}
	switch path {
	case "/key/block":
		row.set("blocked", true)
	case "/key/unblock":
		row.set("blocked", false)
	default:
		if alias, named := given["key_alias"].(string); named {
			if owner, taken := p.aliases[alias]; taken && owner != row.token {
				return nil, &failure{http.StatusBadRequest, "bad_request_error", fmt.Sprintf("Key with alias '%s' already exists.", alias)}
			}
			p.freeAlias(row)
			p.aliases[alias] = row.token
		}
		row.take(given)
	}
	row.set("updated_at", time.Now().UTC().Format(timeFormat))
	return row.info(), nil
}

func (p *proxy) remove(given object) (any, *failure) {
	keys, _ := given["keys"].([]any)
	deleted := []string{}
	for _, each := range keys {
		key, _ := each.(string)
		if row := p.rows[tokenOf(key)]; row != nil {
			p.freeAlias(row)
			delete(p.rows, row.token)
			deleted = append(deleted, row.token)
		}
	}
	if len(deleted) == 0 {
		return nil, &failure{http.StatusNotFound, "internal_server_error", "{'error': 'No keys found'}"}
	}
	kept := p.order[:0]
	for _, token := range p.order {
		if p.rows[token] != nil {
			kept = append(kept, token)
		}
	}
	p.order = kept
	return object{"deleted_keys": deleted}, nil
}

func (p *proxy) freeAlias(row *keyRow) {
	if alias, _ := row.fields["key_alias"].(string); p.aliases[alias] == row.token {
		delete(p.aliases, alias)
	}
}

func (row *keyRow) set(name string, value any) {
	row.fields[name] = value
	row.text = nil
}

// take applies the fields of a new or changed key as LiteLLM does.
func (row *keyRow) take(given object) {
	for name, value := range given {
		switch name {
		case "key", "tags":
		case "duration":
			text, _ := value.(string)
			if seconds, err := time.ParseDuration(text); err == nil {
				row.set("expires", time.Now().UTC().Add(seconds).Format(timeFormat))
			} else {
				row.set("expires", nil)
			}
		default:
			if _, known := row.fields[name]; known {
				row.set(name, value)
			}
		}
	}
}

func (row *keyRow) isBlocked() bool {
	blocked, _ := row.fields["blocked"].(bool)
	return blocked
}

func (row *keyRow) isOver() bool {
	text, _ := row.fields["expires"].(string)
	end, err := time.Parse(timeFormat, text)
	return err == nil && end.Before(time.Now())
}

// listed is the row as /key/list returns it; no other call returns more.
func (row *keyRow) listed() json.RawMessage {
	if row.text == nil {
		row.text, _ = json.Marshal(row.fields)
	}
	return row.text
}

func (row *keyRow) info() any { return row.listed() }

func number(text string, otherwise int) int {
	if found, err := strconv.Atoi(text); err == nil && found > 0 {
		return found
	}
	return otherwise
}
