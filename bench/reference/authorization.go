// AuthorizeCall, from the question to the answer.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "callgate.example/reference/callgatev1"
)

const serverDeadline = 500 * time.Millisecond

type authorization struct {
	pb.UnimplementedAuthorizationServiceServer
	facts     *facts
	ledger    *ledger
	idPrefix  string
	decisions atomic.Uint64
}

func newAuthorization(facts *facts, client *redis.Client, pipelined bool) *authorization {
	start := make([]byte, 6)
	rand.Read(start)
	return &authorization{facts: facts, ledger: newLedger(client, pipelined), idPrefix: hex.EncodeToString(start)}
}

func (a *authorization) AuthorizeCall(
	ctx context.Context, request *pb.AuthorizeCallRequest,
) (*pb.AuthorizeCallResponse, error) {
	if err := checkFields(request); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, serverDeadline)
	defer cancel()
	userID := request.GetUserCall().GetUserId()
	digest, knownTenant := a.facts.digests[request.TenantId]
	kind := a.facts.kinds[a.facts.users[userID]]
	country := a.facts.country(request.CalledNumber)
	if !knownTenant || kind == nil || country == "" {
		return nil, status.Error(codes.PermissionDenied, "not known here")
	}
	asked := &question{
		request: request, userID: userID, digest: digest, kind: kind, country: country,
		decisionID: fmt.Sprintf("%s%08x", a.idPrefix, a.decisions.Add(1)),
	}
	asked.fingerprint = fingerprint(request, userID)
	decided, err := a.ledger.reserve(ctx, asked)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return render(asked, decided), nil
}

func checkFields(request *pb.AuthorizeCallRequest) error {
	fields := []struct {
		name, value string
		longest     int
	}{
		{"tenant_id", request.TenantId, 64},
		{"gateway_id", request.GatewayId, 64},
		{"call_id", request.CallId, 255},
		{"called_number", request.CalledNumber, 64},
		{"user_id", request.GetUserCall().GetUserId(), 64},
	}
	for _, field := range fields {
		if field.value == "" || len(field.value) > field.longest || strings.ContainsAny(field.value, " \x00\x1d\x1e\x1f") {
			return status.Error(codes.InvalidArgument, field.name)
		}
	}
	if request.Sequence < 1 {
		return status.Error(codes.InvalidArgument, "sequence")
	}
	return nil
}

func fingerprint(request *pb.AuthorizeCallRequest, userID string) string {
	meaning := strings.Join([]string{
		"callgate question 1", "user", request.TenantId, request.CalledNumber, request.CallingNumber,
		userID, "", request.Location, "0", "", "",
	}, "\n")
	digest := sha256.Sum256([]byte(meaning))
	return hex.EncodeToString(digest[:16])
}
