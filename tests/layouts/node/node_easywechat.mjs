// One call through node-easywechat.
//
//   node node_easywechat.mjs [file | PATH]
//
// "file" fetches the stable token and keeps it in its own cache, wechat.cache; PATH is a file that has the token.
import { readFile } from 'node:fs/promises';
import { OfficialAccount } from 'node-easywechat';

const { WECHAT_BASE_URL, WECHAT_APPID, WECHAT_SECRET } = process.env;
const [path] = process.argv.slice(2);
const own = path === 'file';

const app = new OfficialAccount({
  app_id: WECHAT_APPID,
  secret: own ? WECHAT_SECRET : '',
  use_stable_access_token: true,
  http: { baseURL: WECHAT_BASE_URL },
});
if (own) {
  app.getAccessToken().setKey('wechat'); // its own key, which is the file's name, has the secret in it
} else {
  const getToken = () => readFile(path, 'utf8');
  app.setAccessToken({ getToken, toQuery: async () => ({ access_token: await getToken() }) });
}

const message = { touser: 'oWitness', msgtype: 'text', text: { content: '你好' } };
const answer = (await app.getClient().postJson('/cgi-bin/message/custom/send', message)).toObject();
console.log(JSON.stringify({ token: await app.getAccessToken().getToken(), errcode: answer.errcode }));
