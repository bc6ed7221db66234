// A proxy that knows CONNECT alone, and only for those who say who they are: `node connect_proxy.mjs PORT NAME:PASSWORD`.
import { createServer } from 'node:http'
import { connect } from 'node:net'

const [port, user] = process.argv.slice(2)
const wanted = `Basic ${Buffer.from(user).toString('base64')}`
const server = createServer((_, response) => response.writeHead(405).end())
server.on('connect', (request, client, head) => {
  client.on('error', () => client.destroy())
  if (request.headers['proxy-authorization'] !== wanted) {
    client.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="test"\r\n\r\n')
    return
  }
  const at = request.url.lastIndexOf(':')
  const target = connect(Number(request.url.slice(at + 1)), request.url.slice(0, at).replace(/[[\]]/g, ''), () => {
    client.write('HTTP/1.1 200 Connection established\r\n\r\n')
    target.write(head)
    target.pipe(client)
    client.pipe(target)
  })
  target.on('error', () => client.destroy())
})
server.listen(Number(port), () => console.log('ready'))
