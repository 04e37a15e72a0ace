// Counts the words of the files below its first argument and writes the list to its second, whole or not at all.
package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

func count(root *os.Root, counts map[string]int) error {
	return fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := root.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		scanner := bufio.NewScanner(file)
		words := 0
		for scanner.Scan() {
			for _, word := range strings.FieldsFunc(scanner.Text(), func(r rune) bool { return !unicode.IsLetter(r) }) {
				counts[strings.ToLower(word)]++
				words++
			}
		}
		fmt.Printf("%s: %d\n", path, words)
		return scanner.Err()
	})
}

func write(to string, counts map[string]int) error {
	file, err := os.CreateTemp(filepath.Dir(to), "words")
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	order := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b))
	})
	for _, word := range order {
		fmt.Fprintf(out, "%4d %s\n", counts[word], word)
	}
	return errors.Join(out.Flush(), file.Sync(), file.Close(), os.Rename(file.Name(), to))
}

func main() {
	counts := map[string]int{}
	root, err := os.OpenRoot(os.Args[1])
	if err == nil {
		err = count(root, counts)
	}
	if err == nil {
		err = write(os.Args[2], counts)
	}
	if err == nil {
		var text []byte
		text, err = os.ReadFile(os.Args[2])
		os.Stdout.Write(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// What it was given to read, it can't change.
	if err := os.WriteFile(filepath.Join(os.Args[1], "made"), nil, 0o666); err != nil {
		fmt.Println(err)
	}
}
