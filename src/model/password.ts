// Which passwords are refused though they are long enough: the ones that everybody tries first.

/** Words that the most used passwords are made of; digits and signs around them add nothing. */
const commonWords: ReadonlySet<string> = new Set([
  'password', 'passwort', 'passw', 'passwd', 'letmein', 'welcome', 'willkommen', 'qwerty', 'qwertyuiop', 'qwertzuiop', 'qwertz', 'azerty', 'asdfghjkl', 'asdfgh', 'zxcvbnm',
  'iloveyou', 'monkey', 'dragon', 'sunshine', 'princess', 'football', 'baseball', 'superman', 'batman', 'trustno', 'master', 'shadow', 'michael', 'jordan', 'hunter', 'admin',
  'administrator', 'root', 'toor', 'changeme', 'default', 'secret', 'login', 'system', 'server', 'novacron', 'cluster', 'computer', 'internet', 'summer', 'winter', 'spring', 'autumn',
  'hello', 'helloworld', 'whatever', 'test', 'testtest', 'testing', 'guest', 'temp', 'access', 'abc', 'abcd', 'abcdef', 'abcdefg', 'abcdefgh', 'abcdefghij', 'pass', 'passpass', 'passwordpassword', 'adminadmin',
  'qwertyqwerty',
])
const charactersDifferentMin = 5

/** Why a password is refused, as a sentence that begins with "must"; null where it is not. */
export function weaknessOf(password: string, userName: string): string | null {
  const plain = password.toLowerCase()
  if (new Set(plain).size < charactersDifferentMin) return `must have at least ${charactersDifferentMin} different characters`
  if (isRun(plain)) return 'must not be a run of neighbouring characters'
  // 0 for o, 1 for i and so on are known to everybody.
  const core = plain.replaceAll(/^[^a-z]+|[^a-z]+$/g, '')
  const letters = core.replaceAll('0', 'o').replaceAll('1', 'i').replaceAll('3', 'e').replaceAll('4', 'a').replaceAll('5', 's').replaceAll('@', 'a').replaceAll('$', 's')
  for (const text of [plain, core, letters]) {
    if (commonWords.has(text.replaceAll(/[^a-z]/g, ''))) return 'must not be one of the passwords that are tried first'
  }
  if (userName.length >= 3 && plain.replaceAll(userName.toLowerCase(), '').length < 6) return 'must be more than the user name'
  return null
}

function isRun(text: string): boolean {
  const steps = new Set<number>()
  for (let at = 1; at < text.length; at++) steps.add(text.charCodeAt(at) - text.charCodeAt(at - 1))
  const keys = ['12345678901234567890', '09876543210987654321']
  return (steps.size === 1 && Math.abs([...steps][0]!) <= 1) || keys.some((row) => row.includes(text))
}
