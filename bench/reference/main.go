// The same RPC and the same FCALL in Go: what callgate's server is compared with.
//
// It takes AuthorizeCall over grpc-go, looks up the tenant, the user and the destination in memory,
// sends the FCALL that the engine sends, and renders the same answer. What the rules say of each kind
// of question is not worked out here but learned from the engine beforehand, so that the reference
// does less than the engine does: no normalising of numbers, no rules, no metrics, no records.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"

	pb "callgate.example/reference/callgatev1"
)

func main() {
	factsFile := flag.String("facts", "", "what was learned from the engine, in JSON")
	prefixesFile := flag.String("prefixes", "", "the catalogue's prefixes.csv")
	store := flag.String("store", "", "the unix socket of the store")
	pipelined := flag.Bool("pipelined", false, "send the FCALLs of many calls together")
	flag.Parse()

	facts, err := readFacts(*factsFile, *prefixesFile)
	if err != nil {
		log.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: *store, Protocol: 2})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterAuthorizationServiceServer(server, newAuthorization(facts, client, *pipelined))
	fmt.Printf("Listening on %s\n", listener.Addr())
	log.SetOutput(os.Stderr)
	log.Fatal(server.Serve(listener))
}
