;; No `_start`: not a command.
(module
  (memory (export "memory") 1)
  (func (export "main")))
