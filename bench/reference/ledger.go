// The ledger: one FCALL, on go-redis' own pool of connections or many calls to a pipeline.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	pb "callgate.example/reference/callgatev1"
)

const (
	function    = "callgate_v1_reserve_first"
	partitions  = 256
	file        = "\x1c"
	batch       = 64
	pipelines   = 2
	answerParts = 7
)

type question struct {
	request                                 *pb.AuthorizeCallRequest
	userID, digest, decisionID, fingerprint string
	country                                 string
	kind                                    *kind
}

// A decided is what the ledger answered: status, decision, answer, held, state.
type decided struct{ decisionID, answer, held string }

type waiting struct {
	command *redis.Cmd
	done    chan struct{}
}

type ledger struct {
	client *redis.Client
	queue  chan waiting
}

func newLedger(client *redis.Client, pipelined bool) *ledger {
	l := &ledger{client: client}
	if pipelined {
		l.queue = make(chan waiting, 4*batch)
		for range pipelines {
			go l.sendTogether()
		}
	}
	return l
}

func (l *ledger) reserve(ctx context.Context, asked *question) (*decided, error) {
	command := redis.NewCmd(ctx, words(asked)...)
	if l.queue == nil {
		l.client.Process(ctx, command)
	} else {
		one := waiting{command, make(chan struct{})}
		l.queue <- one
		select {
		case <-one.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	reply, err := command.Text()
	if err != nil {
		return nil, err
	}
	return readReply(reply)
}

// sendTogether sends what waits, as one pipeline, for ever.
func (l *ledger) sendTogether() {
	for first := range l.queue {
		together := []waiting{first}
		for len(together) < batch && len(l.queue) > 0 {
			together = append(together, <-l.queue)
		}
		pipeline := l.client.Pipeline()
		for _, one := range together {
			pipeline.Process(context.Background(), one.command)
		}
		pipeline.Exec(context.Background()) // Each command has its own error.
		for _, one := range together {
			close(one.done)
		}
	}
}

func words(asked *question) []any {
	request := asked.request
	tag := partitionTag(request.TenantId)
	call := reference(request.TenantId, request.CallId)
	written := make([]any, 0, 8+len(asked.kind.arguments))
	written = append(written, "FCALL", function, 4,
		tag+":accounts", tag+":expiry", tag+":journal",
		tag+":call:"+call)
	for _, argument := range asked.kind.arguments {
		written = append(written, asked.fill(argument))
	}
	return written
}

func (q *question) fill(argument pieces) string {
	var text strings.Builder
	for _, piece := range argument {
		if piece.place == "" {
			text.WriteString(piece.text)
		} else {
			text.WriteString(q.value(piece.place))
		}
	}
	return text.String()
}

func (q *question) value(place string) string {
	switch place {
	case "now_ms":
		return strconv.FormatInt(time.Now().UnixMilli(), 10)
	case "tenant":
		return q.request.TenantId
	case "user":
		return q.userID
	case "call":
		return q.request.CallId
	case "number":
		return q.request.CalledNumber
	case "digest":
		return q.digest
	case "fingerprint":
		return q.fingerprint
	case "decision":
		return q.decisionID
	}
	panic("no such place: " + place)
}

func readReply(reply string) (*decided, error) {
	parts := strings.SplitN(reply, file, answerParts)
	if parts[0] != "OK" {
		return nil, fmt.Errorf("the ledger answered %q", reply)
	}
	if len(parts) != answerParts {
		return nil, errors.New("a stored answer is damaged")
	}
	return &decided{parts[1], parts[2], parts[3]}, nil
}

// partitionTag names a tenant's partition.
func partitionTag(tenantID string) string {
	digest := sha256.Sum256([]byte(tenantID))
	return "{p" + strconv.Itoa(int(digest[0])%partitions) + "}"
}

// reference stands for a call in keys. The engine takes another hash, of the same length.
func reference(parts ...string) string {
	var text strings.Builder
	for _, part := range parts {
		text.WriteString(strconv.Itoa(len(part)))
		text.WriteByte(':')
		text.WriteString(part)
	}
	digest := sha256.Sum256([]byte(text.String()))
	return base64.RawURLEncoding.EncodeToString(digest[:16])
}
