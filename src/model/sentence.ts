// Texts for people are put together of sentences and clauses; here each of them comes to exactly one full stop.

/** A sentence as a part of another one: without its full stop. An ellipsis stays. */
export function clauseOf(sentence: string): string {
  return sentence.replace(/(?<=[^.\s/])\.$/, '')
}

/**
 * What was put together of texts that may be sentences themselves (a cause, what another host answered): where one ended twice, or in the midst of another, its own
 * stop is dropped. Paths (`dir/..`) and an ellipsis stay as they are.
 */
export function endOnce(text: string): string {
  return text.replaceAll(/(?<=[^.\s/])\.(?=[.;](?:\s|$))/g, '')
}
