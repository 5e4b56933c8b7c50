// A gateway's side in Go: one call from its set-up to its end, with the retries of the service config.
//
// The stubs come from proto/ as they are, and callgate/service_config.json is what the Python client
// goes by as well: the same question is asked again with the same sequence, and paid once.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "callgate.example/reference/callgatev1"
)

func main() {
	address := flag.String("address", "127.0.0.1:50051", "where the engine listens")
	config := flag.String("config", "callgate/service_config.json", "the service config")
	callID := flag.String("call", fmt.Sprintf("go-%d", time.Now().UnixNano()), "the call's id")
	flag.Parse()

	policy, err := os.ReadFile(*config)
	if err != nil {
		log.Fatal(err)
	}
	connection, err := grpc.NewClient(
		*address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(string(policy)),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	if err := place(pb.NewAuthorizationServiceClient(connection), *callID); err != nil {
		log.Fatal(err)
	}
}

// place plays a call of 95 seconds; a refusal is an answer and no error.
func place(engine pb.AuthorizationServiceClient, callID string) error {
	const tenant, gateway = "contoso", "go-client"
	ctx := context.Background()
	answer, err := engine.AuthorizeCall(ctx, &pb.AuthorizeCallRequest{
		TenantId:          tenant,
		GatewayId:         gateway,
		CallId:            callID,
		Sequence:          1,
		CalledNumber:      "+390612345678",
		RequestedDuration: durationpb.New(time.Minute),
		Kind:              &pb.AuthorizeCallRequest_UserCall{UserCall: &pb.UserCall{UserId: "adele"}},
	})
	if err != nil {
		return err
	}
	if refusal := answer.GetRefusal(); refusal != nil {
		fmt.Printf("refused: SIP %d, %s\n", refusal.SipStatus, refusal.HelpText)
		return nil
	}
	fmt.Printf("granted %v\n", answer.GetGrant().GrantedDuration.AsDuration())

	// A gateway asks for more when two thirds are used; what is used counts from the answer.
	extended, err := engine.ExtendCall(ctx, &pb.ExtendCallRequest{
		TenantId:          tenant,
		GatewayId:         gateway,
		CallId:            callID,
		Sequence:          2,
		UsedDuration:      durationpb.New(40 * time.Second),
		RequestedDuration: durationpb.New(time.Minute),
	})
	if err != nil {
		return err
	}
	if grant := extended.GetGrant(); grant != nil {
		fmt.Printf("granted %v in all\n", grant.GrantedDuration.AsDuration())
	}

	settled, err := engine.SettleCall(ctx, &pb.SettleCallRequest{
		TenantId:     tenant,
		GatewayId:    gateway,
		CallId:       callID,
		Sequence:     3,
		UsedDuration: durationpb.New(95 * time.Second),
	})
	if err != nil {
		return err
	}
	for _, usage := range settled.Usages {
		fmt.Printf("debited %d micros\n", usage.Debited.GetMicros())
	}
	return nil
}
