// The answer, from what the ledger said and what was learned of the kind of question.
package main

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "callgate.example/reference/callgatev1"
)

func render(asked *question, said *decided) *pb.AuthorizeCallResponse {
	learned, request := asked.kind.answer, asked.request
	// When decided, milliseconds to report and to lapse, final, reason, shortfall, money, minutes.
	told := strings.Split(said.answer, " ")
	decideMs := number(told[0])
	answer := &pb.AuthorizeCallResponse{
		DecisionId: said.decisionID,
		Payer: &pb.Payer{
			Kind: learned.Payer.Kind, TenantId: request.TenantId, AccountId: asked.userID,
		},
		CalledNumber:     request.CalledNumber,
		Destination:      &pb.Destination{Country: asked.country, Label: learned.Destination.GetLabel()},
		CallType:         learned.CallType,
		CatalogueVersion: learned.CatalogueVersion,
		DirectoryVersion: asked.digest,
		DecideTime:       instant(decideMs),
	}
	if reason := number(told[4]); reason != 0 {
		refusal := learned.GetRefusal()
		answer.Outcome = &pb.AuthorizeCallResponse_Refusal{Refusal: &pb.Refusal{
			Reason: pb.Reason(reason), SipStatus: refusal.GetSipStatus(),
			Q850Cause: refusal.GetQ850Cause(), HelpText: refusal.GetHelpText(),
		}}
		return answer
	}
	answer.FailureHandling = learned.FailureHandling
	answer.Outcome = &pb.AuthorizeCallResponse_Grant{Grant: grant(asked, said, told, decideMs)}
	return answer
}

func grant(asked *question, said *decided, told []string, decideMs int64) *pb.Grant {
	learned := asked.kind.answer.GetGrant()
	granted := &pb.Grant{
		ReportByTime: instant(decideMs + number(told[1])),
		ExpireTime:   instant(decideMs + number(told[2])),
		Final:        told[3] == "1",
		Price:        learned.Price,
		Remaining:    &pb.Remaining{},
	}
	if told[6] != "-" {
		granted.Remaining.Available = &pb.Money{Micros: number(told[6]), CurrencyCode: "USD"}
	}
	if told[7] != "-" {
		granted.Remaining.PoolDuration = durationpb.New(time.Duration(number(told[7])) * time.Second)
	}
	held, _, _ := strings.Cut(said.held, "|")
	for at, row := range strings.Split(held, ",") {
		fields := strings.Split(row, " ")
		purse := learned.Segments[min(at, len(learned.Segments)-1)].Purse
		segment := &pb.Segment{
			Purse:       purse,
			StartOffset: seconds(fields[1]),
			EndOffset:   seconds(fields[2]),
		}
		if purse.Kind == pb.PurseKind_PURSE_KIND_CREDITS {
			segment.Held = &pb.Money{Micros: number(fields[3]), CurrencyCode: "USD"}
		}
		granted.Segments = append(granted.Segments, segment)
		granted.GrantedDuration = segment.EndOffset
	}
	granted.Purse = granted.Segments[0].Purse
	return granted
}

func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return value
}

func seconds(text string) *durationpb.Duration {
	return &durationpb.Duration{Seconds: number(text)}
}

func instant(ms int64) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: ms / 1000, Nanos: int32(ms % 1000 * 1_000_000)}
}
