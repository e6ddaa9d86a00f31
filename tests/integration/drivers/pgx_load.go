// SPDX-License-Identifier: ISC

// Clients of pgx as it comes, in a pool of connections: it prepares each statement that it
// meets under a name of its own, and keeps it (statement cache).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

func work(pool *pgxpool.Pool, n int) error {
	ctx := context.Background()
	for k := 0; k < 8; k++ {
		var sum int
		sql := fmt.Sprintf("SELECT $1::int + %d", k%5)
		if err := pool.QueryRow(ctx, sql, n).Scan(&sum); err != nil {
			return err
		}
		if sum != n+k%5 {
			return fmt.Errorf("%d + %d is not %d", n, k%5, sum)
		}
		err := pool.BeginFunc(ctx, func(tx pgx.Tx) error {
			batch := &pgx.Batch{}
			for i := 0; i < 5; i++ {
				batch.Queue("INSERT INTO items (body) VALUES ($1)", fmt.Sprintf("pgx %d %d", n, i))
			}
			results := tx.SendBatch(ctx, batch)
			for i := 0; i < 5; i++ {
				if _, err := results.Exec(); err != nil {
					return err
				}
			}
			return results.Close()
		})
		if err != nil {
			return err
		}
		var failed *pgconn.PgError
		_, err = pool.Exec(ctx, "SELECT 1 / $1::int", 0)
		if !errors.As(err, &failed) || failed.Code != "22012" {
			return fmt.Errorf("no division by zero but %v", err)
		}
		rows := [][]interface{}{{fmt.Sprintf("copied %d", n)}}
		_, err = pool.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"body"}, pgx.CopyFromRows(rows))
		if err != nil {
			return err
		}
	}
	return nil
}

func main() {
	pool, err := pgxpool.Connect(context.Background(), "pool_max_conns=10")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer pool.Close()
	var all sync.WaitGroup
	failures := make(chan error, 40)
	for n := 0; n < 40; n++ {
		all.Add(1)
		go func(n int) {
			defer all.Done()
			if err := work(pool, n); err != nil {
				failures <- err
			}
		}(n)
	}
	all.Wait()
	close(failures)
	for err := range failures {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("done")
}
