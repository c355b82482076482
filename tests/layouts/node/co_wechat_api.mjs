// One call through co-wechat-api, with its token in access_token.txt as its documentation has it.
//
//   node co_wechat_api.mjs [file | reads | PAGE]
//
// "file" fetches and keeps the token there; "reads" has no secret and never fetches; PAGE is a module that exports api.
import { readFile, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import WechatAPI from 'co-wechat-api';

const { WECHAT_BASE_URL, WECHAT_APPID, WECHAT_SECRET } = process.env;
const [how] = process.argv.slice(2);
const file = 'access_token.txt';
const getToken = async () => JSON.parse(await readFile(file, 'utf8'));
const saveToken = (token) => writeFile(file, JSON.stringify(token));
const nothing = async () => {};

const made = {
  file: () => new WechatAPI(WECHAT_APPID, WECHAT_SECRET, getToken, saveToken),
  reads: () => new WechatAPI(WECHAT_APPID, '', getToken, nothing, true),
};
const api = how in made ? made[how]() : (await import(pathToFileURL(how).href)).api;
api.prefix = `${WECHAT_BASE_URL}/cgi-bin/`;
api.setOpts({ timeout: 60_000 });

try {
  const answer = await api.sendText('oWitness', '你好');
  console.log(JSON.stringify({ token: (await api.ensureAccessToken()).accessToken, errcode: answer.errcode }));
} catch (error) {
  console.log(JSON.stringify({ token: '', errcode: error.code ?? -2 }));
}
