package redisstorage

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// failing is the command that fails.
type failing string

func (f failing) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f failing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (f failing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, command redis.Cmder) error {
		if command.Name() == string(f) {
			err := errors.New("the connection is gone")
			command.SetErr(err)
			return err
		}
		return next(ctx, command)
	}
}
