// What is kept in memory: tenants, users, prefixes, and what was learned of each kind of question.
package main

import (
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "callgate.example/reference/callgatev1"
)

// A kind is everything that is the same in all questions that are decided alike.
type kind struct {
	arguments []pieces
	answer    *pb.AuthorizeCallResponse
}

// A piece is either text or, where text is empty, a place to be filled.
type piece struct{ text, place string }

type pieces []piece

type facts struct {
	kinds   map[string]*kind
	digests map[string]string
	// User to "profile-country".
	users map[string]string
	// Prefix to country.
	prefixes      map[string]string
	longestPrefix int
}

func readFacts(factsFile, prefixesFile string) (*facts, error) {
	text, err := os.ReadFile(factsFile)
	if err != nil {
		return nil, err
	}
	var written struct {
		Templates map[string]struct {
			Arguments []string
			Answer    string
		}
		Digests map[string]string
		Users   map[string]string
	}
	if err := json.Unmarshal(text, &written); err != nil {
		return nil, err
	}
	read := &facts{kinds: map[string]*kind{}, digests: written.Digests, users: written.Users}
	for name, template := range written.Templates {
		data, err := base64.StdEncoding.DecodeString(template.Answer)
		if err != nil {
			return nil, err
		}
		learned := &kind{answer: &pb.AuthorizeCallResponse{}}
		if err := proto.Unmarshal(data, learned.answer); err != nil {
			return nil, err
		}
		for _, argument := range template.Arguments {
			learned.arguments = append(learned.arguments, parsePieces(argument))
		}
		read.kinds[name] = learned
	}
	return read, read.readPrefixes(prefixesFile)
}

func (f *facts) readPrefixes(file string) error {
	table, err := os.Open(file)
	if err != nil {
		return err
	}
	defer table.Close()
	reader := csv.NewReader(table)
	reader.Comment = '#'
	rows, err := reader.ReadAll()
	if err != nil {
		return err
	}
	f.prefixes = make(map[string]string, len(rows))
	for _, row := range rows[1:] {
		f.prefixes[row[0]] = row[1]
		f.longestPrefix = max(f.longestPrefix, len(row[0]))
	}
	return nil
}

// country finds where a number in E.164 leads, by its longest prefix; empty where nowhere.
func (f *facts) country(number string) string {
	digits := number[1:]
	for length := min(f.longestPrefix, len(digits)); length > 0; length-- {
		if country, found := f.prefixes[digits[:length]]; found {
			return country
		}
	}
	return ""
}

// parsePieces cuts a text at its places, such as "{tenant}".
func parsePieces(text string) pieces {
	var found pieces
	for {
		before, rest, has := strings.Cut(text, "{")
		if before != "" {
			found = append(found, piece{text: before})
		}
		if !has {
			return found
		}
		place, after, _ := strings.Cut(rest, "}")
		found = append(found, piece{place: place})
		text = after
	}
}
