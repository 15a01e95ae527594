// Passes requests on with a credential: the conformance suite cannot send one. Prints its port.
import http from 'node:http';

const [target, key] = process.argv.slice(2);
const { hostname, port } = new URL(target);
const server = http.createServer((request, response) => {
  const headers = { ...request.headers, 'x-api-key': key };
  const onwards = http.request({ hostname, port, path: request.url, method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onwards.on('error', () => response.destroy());
  response.on('close', () => onwards.destroy());
  request.pipe(onwards);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
