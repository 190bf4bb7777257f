// `novacron completion`: scripts for shells, made of the tree of commands itself.
import { Argument, type Command } from 'commander'
import { withExample, type Shell } from './shell.ts'

/** A command's place (the words to it) and the words that may follow. */
export type Place = { readonly path: readonly string[]; readonly words: readonly { readonly word: string; readonly description: string }[] }

/** Every place of the tree, the root first. */
export function placesOf(command: Command, path: readonly string[] = []): readonly Place[] {
  const visible = command.commands.filter((each) => each.name() !== 'daemon')
  const options = command.options.filter((option) => !option.hidden).flatMap((option) => (option.long === null || option.long === undefined ? [] : [{ word: option.long, description: option.description }]))
  const words = [...visible.map((each) => ({ word: each.name(), description: each.description() })), ...options, { word: '--help', description: 'Help' }]
  return [{ path, words }, ...visible.flatMap((each) => placesOf(each, [...path, each.name()]))]
}

const renderers: Readonly<Record<string, (places: readonly Place[]) => string>> = { bash: renderBash, zsh: renderZsh, fish: renderFish }

export function registerCompletion(program: Command, shell: Shell): void {
  const completion = program.command('completion').description('Print a completion script')
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(renderers)))
    .action((name: string) => void shell.io.stdout.write(renderers[name]!(placesOf(program))))
  withExample(completion, 'novacron completion bash > /etc/bash_completion.d/novacron', 'novacron completion fish > ~/.config/fish/completions/novacron.fish')
}

function renderBash(places: readonly Place[]): string {
  return `# bash completion of novacron
_novacron() {
  local path="" word at
  for ((at = 1; at < COMP_CWORD; at++)); do
    word="\${COMP_WORDS[at]}"
    case "$path/$word" in
      ${knownPaths(places)}) path="$path/$word" ;;
    esac
  done
  local words=""
  case "$path" in
${places.map((place) => `    "${keyOf(place)}") words="${place.words.map(({ word }) => word).join(' ')}" ;;`).join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}")
}
complete -o bashdefault -o default -F _novacron novacron
`
}

function renderZsh(places: readonly Place[]): string {
  return `#compdef novacron
_novacron() {
  local trail="" word
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$trail/$word" in
      ${knownPaths(places)}) trail="$trail/$word" ;;
    esac
  done
  local -a choices
  case "$trail" in
${places.map((place) => `    "${keyOf(place)}") choices=(${place.words.map(({ word, description }) => quote(`${word.replaceAll(':', '\\:')}:${description}`)).join(' ')}) ;;`).join('\n')}
  esac
  _describe novacron choices || _files
}
if [ "$funcstack[1]" = "_novacron" ]; then _novacron "$@"; else compdef _novacron novacron; fi
`
}

function renderFish(places: readonly Place[]): string {
  return `# fish completion of novacron
function __novacron_path
  set -l path ""
  for word in (commandline -opc)[2..-1]
    switch "$path/$word"
      case ${places.slice(1).map((place) => `"${keyOf(place)}"`).join(' ')}
        set path "$path/$word"
    end
  end
  echo "$path"
end
${places.map((place) => place.words.map(({ word, description }) => `complete -c novacron ${word.startsWith('--') ? '' : '-f '}-n 'test (__novacron_path) = "${keyOf(place)}"' -a ${quote(word)} -d ${quote(description)}`).join('\n')).join('\n')}
`
}

/** A pattern of \`case\`: every place below the root. */
function knownPaths(places: readonly Place[]): string {
  return places.slice(1).map((place) => `"${keyOf(place)}"`).join('|')
}

function keyOf(place: Place): string {
  return place.path.map((word) => `/${word}`).join('')
}

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}
