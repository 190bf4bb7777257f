// Every transcript under transcripts/ must read as it plays; UPDATE_TRANSCRIPTS=1 writes what it plays, for a review of the diff.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { playTranscript } from './transcript.ts'

const folder = new URL('transcripts/', import.meta.url)
const names = readdirSync(folder).filter((name) => name.endsWith('.txt')).sort()

describe('transcripts', () => {
  test('there are some', () => {
    expect(names.length).toBeGreaterThan(7)
  })

  test.each(names)('%s', (name) => {
    const file = new URL(name, folder)
    const text = readFileSync(file, 'utf8')
    const played = playTranscript(text)
    if (process.env['UPDATE_TRANSCRIPTS'] === '1') writeFileSync(file, played)
    expect(text.length).toBeGreaterThan(100)
    expect(played).toBe(process.env['UPDATE_TRANSCRIPTS'] === '1' ? played : text)
  })
})
