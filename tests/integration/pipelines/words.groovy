// Runs a Jenkinsfile as what it is, Groovy, and prints what it says, a line for each word: where, word
// and arguments, with tabs between. Only the words of declarative pipelines that stand below are known,
// each where it belongs; any other ends this with an error.
class Block {
    static final Map WORDS = [
        script: ['pipeline'],
        pipeline: ['agent', 'options', 'environment', 'parameters', 'stages'],
        options: ['disableConcurrentBuilds'],
        parameters: ['choice', 'string'],
        environment: ['credentials'],
        stages: ['stage'],
        stage: ['agent', 'environment', 'when', 'input', 'steps', 'post'],
        agent: ['label'],
        when: ['branch', 'changeRequest', 'environment'],
        input: ['message', 'submitter', 'submitterParameter'],
        steps: ['sh', 'stash', 'unstash', 'withCredentials', 'gitUsernamePassword'],
        withCredentials: ['sh', 'stash', 'unstash'],
        post: ['always'],
        always: ['archiveArtifacts', 'junit'],
    ]
    // A word inside another one gives it a value.
    static final List VALUES = ['credentials', 'gitUsernamePassword']
    final String place

    Block(String place) { this.place = place }

    def invokeMethod(String word, Object given) {
        List args = given as List
        if (!WORDS[place].contains(word)) { throw new IllegalArgumentException("${word} in ${place}") }
        if (word in VALUES) { return "${word}(${args.join(', ')})".toString() }
        tell(word, args.findAll { !(it instanceof Closure) })
        if (args && args.last() instanceof Closure) {
            Closure body = args.last()
            body.resolveStrategy = Closure.DELEGATE_ONLY
            body.delegate = new Block(word)
            body()
            tell('end', [word])
        }
    }

    def getProperty(String name) {
        if (place == 'pipeline' && name == 'none') { return 'none' }
        throw new IllegalArgumentException("${name} in ${place}")
    }

    void setProperty(String name, Object value) {
        if (place != 'environment') { throw new IllegalArgumentException("${name} in ${place}") }
        tell('set', [name, value])
    }

    private void tell(String word, List args) { println(([this.@place, word] + args).join('\t')) }
}

def file = new File(args[0])
def script = new GroovyShell().parse(file)
def outer = new Block('script')
script.metaClass.pipeline = { Closure body -> outer.invokeMethod('pipeline', [body] as Object[]) }
script.run()
