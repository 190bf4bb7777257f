// The transport contract on real libp2p hosts.
import { openReal } from './transport-real.ts'
import { transportContract } from './transport.ts'

transportContract('libp2p', openReal)
